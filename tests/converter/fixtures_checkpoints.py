"""Checkpoints in all containers. Element i of a tensor, counted in row-major order, is i (floats: i / 8), unless its name says otherwise."""

from __future__ import annotations

import argparse
import io
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn

FLOATS = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16}
INTEGERS = {"i64": torch.int64, "i32": torch.int32, "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8, "u16": torch.uint16}


def counting(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    count = int(np.prod(shape))
    numbers = torch.arange(count, dtype=torch.float64)
    return (numbers / 8 if dtype.is_floating_point else numbers).to(dtype).reshape(shape)


def tensors() -> OrderedDict[str, torch.Tensor]:
    """Types, strides, shared storages, offsets."""
    result = OrderedDict()
    for name, dtype in (FLOATS | INTEGERS).items():
        result[f"module.{name}"] = counting((2, 3), dtype)
    result["module.bool"] = torch.tensor([True, False, True])  # element i is (i + 1) % 2
    result["module.transposed"] = counting((3, 4)).t().contiguous().t()
    result["module.permuted"] = counting((2, 3, 4, 5)).permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    shared = counting((6, 4))
    result["module.shared_all"] = shared
    result["module.shared_tail_from_12"] = shared[3:]  # element i is (12 + i) / 8
    result["module.shared_even_columns"] = shared[:, ::2]  # element i is i / 4
    result["module.expanded_zeros"] = torch.zeros(1).expand(5)  # all elements are 0
    result["module.scalar"] = torch.tensor(0.0)
    result["module.empty"] = torch.zeros(0, 3)
    result["module.parameter"] = nn.Parameter(counting((4,)))
    result["module.bn.num_batches_tracked"] = torch.tensor(17)
    return result


def trainer_checkpoint() -> dict:
    """What trainers put around a state dict."""
    return {
        "epoch": 3,
        "arch": "net",
        "best": np.float64(0.5),
        "args": argparse.Namespace(lr=0.1),
        "state_dict": tensors(),
        "optimizer": {"state": {0: {"momentum": counting((3,))}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }


def rewrite_zip(data: bytes, path: Path, change, compression: int = zipfile.ZIP_STORED) -> None:
    """Copies an archive; `change` maps (name, content) to the new content."""
    source = zipfile.ZipFile(io.BytesIO(data))
    with zipfile.ZipFile(path, "w", compression) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), change(name, source.read(name)), compression)


def swapped(name: str, content: bytes) -> bytes:
    if name.endswith("/byteorder"):
        return b"big"
    return np.frombuffer(content, "<f4").astype(">f4").tobytes() if "/data/" in name else content


def saved(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def make(folder: Path) -> None:
    torch.save(trainer_checkpoint(), folder / "trainer.pt")
    torch.save(trainer_checkpoint(), folder / "trainer_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"f32": counting((2, 3))}, folder / "plain_protocol4.pt", pickle_protocol=4)
    torch.save({"model": {"w": torch.zeros(2)}, "ema": {"w": counting((2,))}, "epoch": 1}, folder / "average.pt")
    torch.save(nn.Linear(2, 1), folder / "module.pt")
    torch.save({"model": nn.Linear(2, 1)}, folder / "module_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"w": torch.zeros(2, dtype=torch.complex64)}, folder / "complex.pt")
    torch.save({"epoch": 3, "names": ["a", "b"]}, folder / "no_tensors.pt")
    simple = saved({"f32": counting((2, 3)), "scalar": torch.tensor(0.0)})
    rewrite_zip(simple, folder / "big_endian.pt", swapped)
    rewrite_zip(simple, folder / "deflated.pt", lambda name, content: content, zipfile.ZIP_DEFLATED)
    rewrite_zip(saved({"w": torch.zeros(25_000_000)}), folder / "bomb.pt", lambda name, content: content, zipfile.ZIP_BZIP2)
    torch.jit.trace(nn.ReLU(), torch.zeros(1)).save(str(folder / "scripted.pt"))
    plain = {name.removeprefix("module."): tensor.detach().clone().contiguous() for name, tensor in tensors().items()}
    safetensors.torch.save_file(plain, folder / "tensors.safetensors", {"format": "pt"})
