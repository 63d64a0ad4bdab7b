#!/usr/bin/env python3
"""Convert a training checkpoint to float32 safetensors.

    python3 export_weights.py CHECKPOINT -o ../weights/resnet20.safetensors

The moving average is written unless --plain is given. RepVGG keeps its training-time branches;
the engine fuses them when it loads the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import checkpoint
import networks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--plain", action="store_true", help="the last weights, not their average")
    arguments = parser.parse_args()

    network = torch.load(arguments.checkpoint, weights_only=True)["config"]["network"]
    tensors = checkpoint.load_weights(arguments.checkpoint, average=not arguments.plain)
    networks.load(network, tensors)  # refuses missing, unexpected and misshapen tensors
    checkpoint.save_safetensors(tensors, arguments.output, {"format": "pt", "network": network})
    count = sum(tensor.numel() for tensor in tensors.values())
    print(f"{arguments.output}: {len(tensors)} tensors, {count} values")


if __name__ == "__main__":
    main()
