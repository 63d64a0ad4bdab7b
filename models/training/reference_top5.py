#!/usr/bin/env python3
"""What PyTorch makes of the sample pictures with the committed weights: the answers the demo compares konv's with.

    python3 reference_top5.py          # writes ../weights/reference-top5.json
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import checkpoint
import data
import networks

MODELS = Path(__file__).resolve().parent.parent


@torch.no_grad()
def main() -> None:
    pictures = sorted((MODELS / "samples").glob("*.png"))
    images = torch.from_numpy(np.stack([np.asarray(Image.open(p).convert("RGB")) for p in pictures])).permute(0, 3, 1, 2)
    reference: dict[str, dict[str, list[dict[str, float]]]] = {}
    for weights in sorted((MODELS / "weights").glob("*.safetensors")):
        model = networks.load(weights.stem, checkpoint.load_weights(weights)).eval()
        probabilities = model(data.normalize(images)).softmax(1)
        values, indices = probabilities.topk(5)
        reference[weights.stem] = {
            picture.name: [{"index": int(i), "probability": round(float(v), 6)} for v, i in zip(v_row, i_row, strict=True)]
            for picture, v_row, i_row in zip(pictures, values, indices, strict=True)
        }
    (MODELS / "weights" / "reference-top5.json").write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    main()
