#!/usr/bin/env python3
"""Train one of the CIFAR-10 networks on the JPEG training set.

    python3 train.py configs/resnet20.json
    python3 train.py configs/resnet20.json --resume
    python3 train.py configs/resnet20-w4a4.json    # quantization-aware, from the trained weights

A checkpoint is written after every epoch, outside the repository.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import checkpoint
import data
import lsq
import networks
import teaching

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


@dataclass(frozen=True)
class Config:
    """A training recipe; the JSON files in configs/ hold these fields."""

    network: str
    epochs: int
    batch_size: int
    max_lr: float
    warmup: float = 0.15
    """Share of the run in which the learning rate rises linearly; a cosine to zero follows."""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    ema_decay: float = 0.998
    """Of the weights that are kept; 0: the last ones. Averages of 2-bit weights lie between the integers: the last were better."""
    pad: int = 4
    crops: tuple[tuple[float, int], ...] = ((1.0, 32),)
    """(until, side) pairs: up to the share `until` of the run, train on crops of that side."""
    seed: int = 1
    start: str = ""
    """Trained weights to start from, a file in models/weights; without: random ones."""
    weight_bits: int = 0
    activation_bits: int = 0
    """With bits, the network learns to compute with integers (lsq.py)."""
    mean_steps: bool = False
    """Steps of weights begin at a multiple of the mean instead of the least error (lsq.py)."""
    norms: bool = False
    """Train a LeNet of few bits with BatchNorms, which its scales and biases take in (lsq.py)."""
    bfloat16: bool = False
    """A network with bits multiplies in bfloat16 while it trains (lsq.py)."""
    teacher: str = ""
    """Trained weights to learn from, a file in models/weights called NETWORK.safetensors (teaching.py)."""
    teacher_share: float = 0.5
    """How much of the loss is the teacher's; the labels have the rest."""
    temperature: float = 4.0
    """Divides the logits of both before they are compared."""

    @staticmethod
    def load(path: Path) -> Config:
        fields = json.loads(path.read_text())
        if "crops" in fields:
            fields["crops"] = tuple((until, side) for until, side in fields["crops"])
        return Config(**fields)


def learning_rate(config: Config, progress: float) -> float:
    """Learning rate at `progress` in [0, 1] of the run."""
    if progress < config.warmup:
        return config.max_lr * max(progress / config.warmup, 0.01)
    rest = min((progress - config.warmup) / (1 - config.warmup), 1.0)
    return config.max_lr * 0.5 * (1 + math.cos(math.pi * rest))


def crop_side(config: Config, progress: float) -> int:
    """Side of the training crops at `progress`."""
    return next((side for until, side in config.crops if progress < until), config.crops[-1][1])


def make_optimizer(model: nn.Module, config: Config) -> torch.optim.SGD:
    """Nesterov SGD; weight decay spares biases and BatchNorm."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=config.max_lr, momentum=config.momentum, nesterov=True)


CALIBRATION_IMAGES = 512


class MovingAverage:
    """Exponential moving average of parameters and BatchNorm statistics."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        # The first steps average over a short window, or the random start would linger.
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 - decay)


def show_progress(epoch: int, done: int, total: int, loss: float, rate: float) -> None:
    """One-line progress bar; the caller checks that stderr is a terminal."""
    width = 30
    filled = width * done // total
    bar = "#" * filled + "." * (width - filled)
    eta = (total - done) / rate if rate else 0.0
    sys.stderr.write(f"\repoch {epoch} [{bar}] {done}/{total} loss {loss:.3f} {eta:4.0f} s left ")
    if done == total:
        sys.stderr.write("\n")
    sys.stderr.flush()


def build_model(config: Config, images: Tensor) -> nn.Module:
    """The network at its start; `images` set the first steps of its quantizers."""
    if config.start:
        model = networks.load(config.network, checkpoint.load_weights(WEIGHTS / config.start))
    else:
        model = networks.build(config.network)
    if config.weight_bits:
        lsq.prepare(model, config.weight_bits, config.activation_bits, config.norms, config.bfloat16)
        lsq.start(model, images[:: max(1, len(images) // CALIBRATION_IMAGES)], config.mean_steps)  # of all classes
    return model


class Trainer:
    """State of a run: everything that a checkpoint holds."""

    def __init__(self, config: Config, images: Tensor, budget_s: float | None) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.budget_s = budget_s
        self.generator = torch.Generator().manual_seed(config.seed)
        self.model = build_model(config, images).to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.model, config)
        self.average = MovingAverage(self.model, config.ema_decay)
        self.taught = teaching.logits(WEIGHTS / config.teacher, images) if config.teacher else None
        self.step = 0
        self.epoch = 0
        self.elapsed_s = 0.0
        self.history: list[dict[str, float]] = []

    def progress(self, steps_per_epoch: int) -> float:
        """Share of the run that is done: by steps or, with a time budget, by time if further."""
        done = self.step / (steps_per_epoch * self.config.epochs)
        if self.budget_s is not None:
            done = max(done, self.elapsed_s / self.budget_s)
        return min(done, 1.0)

    def save(self, path: Path) -> None:
        state = {
            "config": asdict(self.config),
            "model": self.model.state_dict(),
            "ema": self.average.state,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "epoch": self.epoch,
            "elapsed_s": self.elapsed_s,
            "budget_s": self.budget_s,
            "history": self.history,
        }
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.state = state["ema"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step, self.epoch = state["step"], state["epoch"]
        self.elapsed_s = state["elapsed_s"]
        self.history = state["history"]

    def train_epoch(self, images: Tensor, labels: Tensor) -> float:
        """One pass over the data, cut short when the time budget is used up; the mean loss."""
        size = self.config.batch_size
        steps = len(images) // size
        order = torch.randperm(len(images), generator=self.generator)[: steps * size].split(size)
        total = 0.0
        begin = last = time.monotonic()
        self.model.train()
        for done, index in enumerate(order, 1):
            progress = self.progress(steps)
            if progress >= 1.0:
                return total / max(done - 1, 1)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.config, progress)
            side = crop_side(self.config, progress)
            x = data.normalize(data.augment(images[index], self.generator, self.config.pad, side))
            x = x.contiguous(memory_format=torch.channels_last)
            scores = self.model(x)
            loss = F.cross_entropy(
                scores, labels[index], label_smoothing=self.config.label_smoothing
            )
            if self.taught is not None:
                lesson = teaching.loss(scores, self.taught[index], self.config.temperature)
                loss = torch.lerp(loss, lesson, self.config.teacher_share)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.step += 1
            self.average.update(self.model, self.step)
            total += loss.item()
            now = time.monotonic()
            self.elapsed_s += now - last
            last = now
            if sys.stderr.isatty():
                show_progress(self.epoch + 1, done, steps, total / done, done / (now - begin))
        return total / len(order)


def run(trainer: Trainer, images: Tensor, labels: Tensor, path: Path) -> None:
    """Train to the end, with a checkpoint and a line per epoch."""
    steps = len(images) // trainer.config.batch_size
    while (progress := trainer.progress(steps)) < 1.0:
        side = crop_side(trainer.config, progress)
        loss = trainer.train_epoch(images, labels)
        trainer.epoch += 1
        entry = {"epoch": trainer.epoch, "loss": round(loss, 4), "crop": side,
                 "progress": round(trainer.progress(steps), 4),
                 "elapsed_s": round(trainer.elapsed_s, 1)}  # fmt: skip
        trainer.history.append(entry)
        trainer.save(path)
        print(path.stem, json.dumps(entry), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, help="JSON recipe, e.g. configs/resnet20.json")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint if any")
    parser.add_argument("--checkpoint", type=Path, help="default: CACHE/CONFIG.pt")
    parser.add_argument("--epochs", type=int, help="override the recipe's number of epochs")
    parser.add_argument("--minutes", type=float, help="time budget; the schedule shrinks to fit it")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()

    config = Config.load(arguments.config)
    if arguments.epochs:
        config = Config(**{**asdict(config), "epochs": arguments.epochs})
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    path = arguments.checkpoint or data.cache_dir() / f"{arguments.config.stem}.pt"
    images, labels = data.load_jpeg("train")
    trainer = Trainer(config, images, arguments.minutes * 60 if arguments.minutes else None)
    if arguments.resume and path.exists():
        trainer.load(path)
    run(trainer, images, labels, path)


if __name__ == "__main__":
    main()
