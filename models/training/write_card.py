#!/usr/bin/env python3
"""Write the card of a weights file from its checkpoint and the figures of evaluate.py."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import torch

DESCRIPTION = {
    "resnet20": "CIFAR ResNet-20 with parameter-free shortcuts (He et al. 2015, option A)",
    "repvgg": "RepVGG-style CIFAR network, widths 32-64-128, blocks 1-2-3-3, all branches kept",
    "lenet3": "LeNet-5 layout with 3x3 convolutions",
    "lenet5": "LeNet-5 layout with 5x5 convolutions",
    "lenet7": "LeNet-5 layout with 7x7 convolutions",
}

RECIPE = """\
| training data | CIFAR-10, 50,000 training images as JPEG (quality 75, 4:2:0); not included |
| input | 1x3x32x32 RGB, (pixel / 255 - mean) / std |
| mean, std | 0.485, 0.456, 0.406; 0.229, 0.224, 0.225 |
| classes | airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck |
| augmentation | random crop, {crops}; horizontal flip |
| optimizer | SGD, Nesterov momentum {momentum}, weight decay {weight_decay}, batch {batch_size} |
| schedule | linear warm-up to {max_lr} in the first {warmup:.0%} of the run, then cosine to zero |
| label smoothing | {label_smoothing} |
"""
"""Rows that all cards have."""

CARD = (
    """\
# {name}

{description}.
{parameters:,} parameters, {macs:.2f} M multiply-accumulates per image{fused}.

| | |
|---|---|
| file | `{name}.safetensors`, float32 |
"""
    + RECIPE
    + """\
| weights kept | {kept} |
| trained for | {epochs:.1f} epochs ({steps:,} steps, {minutes:.0f} min of a shared CPU){planned} |
| seed | {seed} |
| made with | `{command}` in models/training |
| date | {date} |
| licence | Apache-2.0 |

| test set | right | accuracy |
|---|---|---|
| JPEG test set | {jpeg_right:,} / {jpeg_total:,} | {jpeg:.2%} |
| lossless, first 1,017 test images | {lossless_right:,} / {lossless_total:,} | {lossless:.2%} |
"""
)

TRAINING_IMAGES = 50_000


def describe_crops(config: dict[str, Any]) -> str:
    """The crop schedule in words."""
    full = f"32x32 out of the image padded by {config['pad']}"
    sides = list(config["crops"])
    if len(sides) == 1:
        return full
    early = ", ".join(f"{side}x{side} up to {until:.0%}" for until, side in sides[:-1])
    return f"{early} of the run, then {full}"


def describe_average(config: dict[str, Any]) -> str:
    """Which weights of the run are kept."""
    return f"exponential moving average, decay {config['ema_decay']}" if config["ema_decay"] else "the last ones"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, required=True, help="JSON of evaluate.py")
    parser.add_argument("--command", required=True, help="command that made the weights")
    parser.add_argument("--plain", action="store_true", help="the weights are not the average")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()

    run = torch.load(arguments.checkpoint, weights_only=True)
    config = run["config"]
    figures = json.loads(arguments.evaluation.read_text())
    jpeg, lossless = figures["jpeg_test"], figures["lossless_test_1017"]
    steps_per_epoch = TRAINING_IMAGES // config["batch_size"]
    epochs = run["step"] / steps_per_epoch
    planned = ""
    if run["history"][-1]["progress"] < 1:
        planned = "; an early state of the run, to be replaced"
    elif run["step"] < steps_per_epoch * config["epochs"]:
        planned = f"; the schedule was shrunk to fit a budget of {run['budget_s'] / 60:.0f} min"
    text = CARD.format(
        **{key: config[key] for key in ("momentum", "weight_decay", "batch_size", "max_lr")},
        **{key: config[key] for key in ("warmup", "label_smoothing", "seed")},
        name=figures["network"],
        description=DESCRIPTION[figures["network"]],
        parameters=figures["parameters"],
        macs=figures["fused_macs"] / 1e6,
        fused=" with the branches fused" if figures["network"] == "repvgg" else "",
        crops=describe_crops(config),
        kept="the last ones" if arguments.plain else describe_average(config),
        epochs=epochs,
        steps=run["step"],
        minutes=run["elapsed_s"] / 60,
        planned=planned,
        command=arguments.command,
        date=datetime.date.today().isoformat(),
        jpeg_right=jpeg["right"],
        jpeg_total=jpeg["total"],
        jpeg=jpeg["right"] / jpeg["total"],
        lossless_right=lossless["right"],
        lossless_total=lossless["total"],
        lossless=lossless["right"] / lossless["total"],
    )
    arguments.output.write_text(text)


if __name__ == "__main__":
    main()
