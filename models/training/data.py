"""CIFAR-10 as uint8 tensors, and the augmentation and normalization of whole batches."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
REPOSITORY = Path(__file__).resolve().parents[2]


def data_dir() -> Path:
    """Folder of the data files: $KONV_DATA, by default ../shared/data beside the repository."""
    return Path(os.environ.get("KONV_DATA", REPOSITORY.parent / "shared" / "data"))


def cache_dir() -> Path:
    """Folder outside the repository for decoded images and checkpoints ($KONV_TRAINING_CACHE)."""
    path = Path(os.environ.get("KONV_TRAINING_CACHE", "/var/tmp/konv-training"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def load_jpeg(split: str) -> tuple[Tensor, Tensor]:
    """Images (N,3,32,32, uint8 RGB) and labels (int64) of the JPEG `train` or `test` set.

    The archive is decoded once; later calls read the copy in cache_dir().
    """
    cached = cache_dir() / f"cifar10-jpeg-{split}.npz"
    if not cached.exists():
        images, labels = _decode_archive(data_dir() / f"cifar10-jpeg-{split}.tar.xz")
        partial = cached.with_name(f"{cached.stem}.{os.getpid()}.npz")
        np.savez(partial, images=images, labels=labels)
        partial.replace(cached)
    with np.load(cached) as arrays:
        return torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])


def _decode_archive(path: Path) -> tuple[np.ndarray, np.ndarray]:
    decoded: dict[str, tuple[np.ndarray, int]] = {}
    with tarfile.open(path, "r|xz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is None or not member.name.endswith(".jpg"):
                continue
            label = CLASSES.index(Path(member.name).parent.name)
            image = Image.open(io.BytesIO(file.read())).convert("RGB")
            decoded[member.name] = (np.asarray(image).transpose(2, 0, 1), label)
    # Archive order is arbitrary; sorting makes seeded runs repeatable.
    ordered = [decoded[name] for name in sorted(decoded)]
    return np.stack([i for i, _ in ordered]), np.array([k for _, k in ordered], dtype=np.int64)


def load_lossless_test() -> tuple[Tensor, Tensor]:
    """The first 1,017 test images, lossless, from CIFAR-10's binary format."""
    raw = np.fromfile(data_dir() / "cifar10-lossless-test-1017.bin", dtype=np.uint8)
    records = raw.reshape(-1, 1 + 3 * 32 * 32)
    images = records[:, 1:].reshape(-1, 3, 32, 32).copy()
    return torch.from_numpy(images), torch.from_numpy(records[:, 0].astype(np.int64))


def normalize(images: Tensor) -> Tensor:
    """uint8 pixels to (pixel / 255 - mean) / std per channel, float32."""
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std


def augment(images: Tensor, generator: torch.Generator, pad: int = 4, side: int = 32) -> Tensor:
    """A random `side` x `side` crop and a random horizontal flip of every image.

    Crops of the full side come out of the zero-padded image, smaller ones out of the image itself.
    """
    count, _, height, width = images.shape
    if side == height and pad:
        images = torch.nn.functional.pad(images, (pad, pad, pad, pad))
        height, width = height + 2 * pad, width + 2 * pad
    top = torch.randint(0, height - side + 1, (count, 1), generator=generator)
    left = torch.randint(0, width - side + 1, (count, 1), generator=generator)
    flip = torch.rand(count, 1, generator=generator) < 0.5
    rows = top + torch.arange(side)
    columns = left + torch.where(flip, torch.arange(side).flip(0), torch.arange(side))
    batch = torch.arange(count).view(-1, 1, 1)
    channels_last = images.permute(0, 2, 3, 1)
    return channels_last[batch, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)
