#!/usr/bin/env python3
"""Score weights on the JPEG test set and on the lossless test images.

    python3 evaluate.py --network resnet20 --weights ../weights/resnet20.safetensors
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor, nn

import checkpoint
import data
import networks


@torch.no_grad()
def count_right(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 250) -> int:
    """Number of `images` whose highest score is the label; `model` is in evaluation mode."""
    right = 0
    for x, y in zip(images.split(batch), labels.split(batch), strict=True):
        right += int((model(data.normalize(x)).argmax(1) == y).sum())
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True, choices=networks.NETWORKS)
    parser.add_argument("--weights", type=Path, required=True, help="safetensors or checkpoint")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()

    model = networks.load(arguments.network, checkpoint.load_weights(arguments.weights))
    sets = {"jpeg_test": data.load_jpeg("test"), "lossless_test_1017": data.load_lossless_test()}
    figures: dict[str, object] = {
        "network": arguments.network,
        "parameters": sum(p.numel() for p in model.parameters()),
        "fused_macs": networks.fused_macs(model),
    }
    for name, (images, labels) in sets.items():
        right = count_right(model, images, labels)
        figures[name] = {"right": right, "total": len(labels)}
        print(f"{arguments.network} {name}: {right} / {len(labels)} = {right / len(labels):.2%}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
