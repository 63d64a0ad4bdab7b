#!/usr/bin/env python3
"""Makes the files in tests/converter/fixtures: small checkpoints and ONNX models with known contents.

    pip install torch onnx onnxruntime onnxscript safetensors
    python3 tests/converter/make_fixtures.py

ONNX models carry their test with them: initializers "given:x" hold the input x and "expected:y" what output y must be, computed by onnxruntime,
or by NumPy for the forms of opsets that onnxruntime no longer runs. Checkpoints of networks carry "expected", the logits of PyTorch.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import fixtures_checkpoints
import fixtures_networks
import fixtures_onnx
import fixtures_onnx_shape

FOLDER = Path(__file__).parent / "fixtures"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for maker in (fixtures_checkpoints, fixtures_networks, fixtures_onnx, fixtures_onnx_shape):
        maker.make(FOLDER)
    sizes = {path.name: path.stat().st_size for path in sorted(FOLDER.iterdir())}
    for name, size in sizes.items():
        print(f"{size:8} {name}")
    print(f"{sum(sizes.values()):8} in all")


if __name__ == "__main__":
    main()
