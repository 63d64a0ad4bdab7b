"""Safetensors writing and reading, and the choice of weights out of a checkpoint."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def save_safetensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]
) -> None:
    """Write `tensors` as float32, in name order, replacing `path` in one step."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    blobs: list[bytes] = []
    offset = 0
    for name in sorted(tensors):
        array = tensors[name].detach().contiguous().to(torch.float32).numpy()
        blobs.append(array.astype("<f4", copy=False).tobytes())
        end = offset + len(blobs[-1])
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # the format wants the data 8-byte aligned
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(struct.pack("<Q", len(encoded)) + encoded + b"".join(blobs))
    partial.replace(path)


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a float32 safetensors file."""
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: {name} has type {entry['dtype']}, expected F32")
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(raw[begin:end], dtype="<f4").reshape(entry["shape"])
        tensors[name] = torch.from_numpy(array.copy())
    return tensors


def load_weights(path: Path, average: bool = True) -> dict[str, Tensor]:
    """Weights from a .safetensors file or from a checkpoint of train.py or another trainer.

    For checkpoints of train.py, `average` selects the moving average over the plain weights.
    """
    if path.suffix == ".safetensors":
        return load_safetensors(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    if "ema" in content:
        content = content["ema" if average else "model"]
    elif "state_dict" in content:
        content = content["state_dict"]
    return {
        name.removeprefix("module."): tensor
        for name, tensor in content.items()
        if not name.endswith("num_batches_tracked")
    }
