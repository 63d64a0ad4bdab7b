"""What the peers' virtual environment holds."""

from __future__ import annotations

import subprocess
import sys

PACKAGES = ["numpy", "onnx", "onnxscript", "onnxruntime", "openvino", "torch==2.13.0", "ncnn", "pnnx", "pillow"]


def install() -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
