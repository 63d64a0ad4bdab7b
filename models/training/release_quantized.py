#!/usr/bin/env python3
"""Export a network of train.py with weight_bits, judge it by konv's integer kernels, keep it if it is good enough.

    python3 train.py configs/lenet5-w4a4.json
    python3 release_quantized.py lenet5-w4a4 --konv ../../build/release/konv

Good enough is at most 0.3 points below the float network of ../weights on the JPEG test set with 4
bits, 2 points with 2. Then ../weights/NAME.onnx and its card NAME.md are written; otherwise nothing,
and the status is 1. $KONV_DATA holds test/CLASS/NNNN.jpg, unpacked, and the lossless test images.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import data
from train import WEIGHTS
from write_card import DESCRIPTION, RECIPE, TRAINING_IMAGES, describe_average, describe_crops

ALLOWED_DROP = {4: 0.3, 2: 2.0}
"""Points of accuracy, by the smaller number of bits."""

CARD = (
    """\
# {name}

{description}, weights of {weight_bits} bits and activations of {activation_bits} bits (first and last layer 8), trained with learned steps (LSQ, arXiv 1902.08153) from `{start}`.

| | |
|---|---|
| file | `{name}.onnx`, {bytes:,} bytes: integers, scales, QuantizeLinear and DequantizeLinear |
"""
    + RECIPE
    + """\
{more}| weights kept | {kept} |
| trained for | {epochs:.1f} epochs ({steps:,} steps) |
| seed | {seed} |
| made with | `python3 train.py configs/{name}.json`, `python3 release_quantized.py {name}` in models/training |
| date | {date} |
| licence | Apache-2.0 |

Judged by konv's integer kernels (`konv convert`, `konv optimize`, `konv eval`):

| test set | right | accuracy | float32 |
|---|---|---|---|
| JPEG test set | {jpeg_right:,} / 10,000 | {jpeg:.2f}% | {jpeg_float:.2f}% |
| lossless, first 1,017 test images | {lossless_right:,} / 1,017 | {lossless:.2f}% | {lossless_float:.2f}% |
"""
)

TEACHER = (
    "| teacher | the float network `{teacher}`: {teacher_share:.0%} of the loss compares its answer to each training image "
    "at temperature {temperature:g} (arXiv 1503.02531) |\n"
)
BFLOAT16 = "| arithmetic | convolutions behind the first multiply in bfloat16 while training |\n"
NORMS = "| BatchNorm | behind every layer but the last while training; in the file part of their scales and biases |\n"


def describe_more(config: dict[str, Any]) -> str:
    """Rows of what only some recipes have."""
    teacher = TEACHER.format(**config) if config.get("teacher") else ""
    return teacher + (NORMS if config.get("norms") else "") + (BFLOAT16 if config.get("bfloat16") else "")


NORMALIZE = [
    "--mean", ",".join(map(str, data.MEAN)), "--std", ",".join(map(str, data.STD)),
    "--labels", "cifar10",
]  # fmt: skip


def float_accuracy(card: str, images: int) -> float:
    """Accuracy in percent that a float network's card states for the test set of so many images."""
    return float(re.search(rf"/ {images:,} \| ([\d.]+)%", card)[1])


def konv(program: Path, *words: object) -> str:
    return subprocess.run([program, *map(str, words), "--quiet"], check=True, capture_output=True, text=True).stdout


def judge(program: Path, network: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `konv eval --json` says of the JPEG and of the lossless test set."""
    konv(program, "convert", network, *NORMALIZE, "-o", folder / "found.konv")
    konv(program, "optimize", folder / "found.konv", "-o", folder / "integer.konv")
    sets = [data.data_dir() / "test", data.data_dir() / "cifar10-lossless-test-1017.bin"]
    jpeg, lossless = (json.loads(konv(program, "eval", folder / "integer.konv", "--data", s, "--json")) for s in sets)
    return jpeg, lossless


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the configuration, e.g. lenet5-w4a4")
    parser.add_argument("--checkpoint", type=Path, help="default: CACHE/NAME.pt")
    parser.add_argument("--konv", type=Path, default=data.REPOSITORY / "build" / "release" / "konv")
    arguments = parser.parse_args()

    name = arguments.name
    checkpoint = arguments.checkpoint or data.cache_dir() / f"{name}.pt"
    run = torch.load(checkpoint, map_location="cpu", weights_only=True)
    config = run["config"]
    if run["history"][-1]["progress"] < 1:
        sys.exit(f"{checkpoint}: trained for {run['epoch']} of {config['epochs']} epochs; expected a finished run")
    with tempfile.TemporaryDirectory(dir=WEIGHTS) as folder:
        network = Path(folder) / f"{name}.onnx"
        export = [sys.executable, Path(__file__).with_name("export_quantized.py"), checkpoint, "-o", network]
        subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
        jpeg, lossless = judge(arguments.konv, network, Path(folder))
        float_card = (WEIGHTS / config["start"]).with_suffix(".md").read_text()
        before = float_accuracy(float_card, jpeg["images"])
        drop = before - 100 * jpeg["top1"]
        allowed = ALLOWED_DROP[min(config["weight_bits"], config["activation_bits"])]
        print(f"{name}: {jpeg['correct']} of {jpeg['images']} right, {drop:.2f} points below float; expected at most {allowed}")
        if drop > allowed + 1e-9:
            sys.exit(1)
        facts = {key: value for key, value in config.items() if key not in ("crops", "epochs")}
        card = CARD.format(
            **facts,
            name=name,
            description=DESCRIPTION[config["network"]],
            bytes=network.stat().st_size,
            crops=describe_crops(config),
            more=describe_more(config),
            kept=describe_average(config),
            epochs=run["step"] / (TRAINING_IMAGES // config["batch_size"]),
            steps=run["step"],
            date=datetime.date.today().isoformat(),
            jpeg_right=jpeg["correct"],
            jpeg=100 * jpeg["top1"],
            jpeg_float=before,
            lossless_right=lossless["correct"],
            lossless=100 * lossless["top1"],
            lossless_float=float_accuracy(float_card, lossless["images"]),
        )
        network.replace(WEIGHTS / network.name)
        (WEIGHTS / f"{name}.md").write_text(card)


if __name__ == "__main__":
    main()
