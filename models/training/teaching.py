"""Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531): a network learns from a larger one's logits.

Both logits are divided by a temperature, which shows what the teacher thinks of the wrong classes;
for networks of few bits see Mishra and Marr 2017 (arXiv 1711.05852). The teacher looks at every
training image once, and at its mirror image: crops and flips of the student's keep its answer.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import checkpoint
import data
import networks


@torch.no_grad()
def logits(teacher: Path, images: Tensor, batch: int = 250) -> Tensor:
    """Logits of the float network `teacher` for `images` (N,3,32,32, uint8), means over both mirror images.

    They are kept in cache_dir() under the digest of teacher and images.
    """
    digest = hashlib.sha256(teacher.read_bytes() + images.numpy().tobytes()).hexdigest()[:16]
    cached = data.cache_dir() / f"taught-{digest}.pt"
    if not cached.exists():
        model = networks.load(teacher.stem, checkpoint.load_weights(teacher))
        model = model.to(memory_format=torch.channels_last)
        answers = []
        for part in images.split(batch):
            x = data.normalize(part).contiguous(memory_format=torch.channels_last)
            answers.append((model(x) + model(x.flip(3))) / 2)
        partial = cached.with_name(cached.name + ".partial")
        torch.save(torch.cat(answers), partial)
        partial.replace(cached)
    return torch.load(cached, weights_only=True)


def loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Cross-entropy between the softened answers; its gradients are as large as those of labels."""
    softened = (teacher / temperature).softmax(1)
    return F.cross_entropy(student / temperature, softened) * temperature**2
