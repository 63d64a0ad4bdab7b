"""Narrow networks of every architecture, each with random weights, an input and PyTorch's logits in one safetensors file."""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "models" / "training"))
import networks


class Block(nn.Module):
    """A basic block; its shortcut is parameter-free or, named `projection`, a convolution of `kernel` with BatchNorm."""

    def __init__(self, channels: int, width: int, stride: int, projection: str, kernel: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.missing, self.projection = stride, width - channels, projection
        if projection and (stride != 1 or channels != width):
            layers = nn.Sequential(nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width))
            self.add_module(projection, layers)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.projection in self._modules:
            return F.relu(out + self._modules[self.projection](x))
        front = self.missing // 2
        return F.relu(out + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, front, self.missing - front)))


class ResNet(nn.Module):
    def __init__(self, blocks: tuple[int, ...], widths: tuple[int, ...], projection: str = "", kernel: int = 1, last: str = "linear") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        channels = widths[0]
        for stage, (count, width) in enumerate(zip(blocks, widths)):
            layers = []
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                layers.append(Block(channels, width, stride, projection, kernel))
                channels = width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.last = last
        self.add_module(last, nn.Linear(channels, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self._modules[self.last](F.adaptive_avg_pool2d(x, 1).flatten(1))


class LeNet(nn.Module):
    def __init__(self, channels: int, kernel: int, side: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2, kernel)
        self.conv2 = nn.Conv2d(2, 3, kernel)
        inner = ((side - kernel + 1) // 2 - kernel + 1) // 2
        self.fc1 = nn.Linear(3 * inner * inner, 8)
        self.fc2 = nn.Linear(8, 7)
        self.fc3 = nn.Linear(7, 10)

    forward = networks.LeNet.forward


class DeployedRepVGG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        plan = {"stage0": (3, 3, 1), "stage1.0": (3, 3, 1), "stage2.0": (3, 4, 2), "stage3.0": (4, 5, 2)}
        self.names = list(plan)
        for name, (channels, width, stride) in plan.items():
            block = nn.Sequential()
            block.add_module("rbr_reparam", nn.Conv2d(channels, width, 3, stride, 1))
            parent, _, index = name.partition(".")
            if index:
                stage = nn.Sequential()
                stage.add_module(index, block)
                block = stage
            self.add_module(parent, block)
        self.linear = nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.names:
            x = F.relu(self.get_submodule(name)(x))
        return self.linear(x.mean((2, 3)))


class VGG(nn.Module):
    def __init__(self, plan: tuple[int | str, ...], norm: bool, classifier: nn.Module) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for item in plan:
            if item == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(channels, item, 3, padding=1))
            layers.extend([nn.BatchNorm2d(item), nn.ReLU()] if norm else [nn.ReLU()])
            channels = item
        self.features = nn.Sequential(*layers)
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def randomize(network: nn.Module) -> None:
    """Also the statistics, and weights large enough that no layer dies out."""
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.2)
        elif tensor.dim() == 1:
            tensor.uniform_(0.7, 1.3)
        elif tensor.dim() > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)


def make(folder: Path) -> None:
    tail = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 10))
    cases = {
        "resnet_option_a": (ResNet((1, 2, 1), (2, 4, 7)), 3, 32),
        "resnet_shortcut": (ResNet((1, 1, 1), (2, 3, 4), "shortcut"), 3, 32),
        "resnet_downsample": (ResNet((1, 1, 1), (2, 3, 4), "downsample", kernel=3, last="fc"), 3, 32),
        "lenet_5": (LeNet(3, 5, 32), 3, 32),
        "lenet_3": (LeNet(3, 3, 32), 3, 32),
        "lenet_mnist": (LeNet(1, 5, 28), 1, 28),
        "repvgg_trained": (networks.RepVGGCifar((3, 4, 5), (1, 2, 1)), 3, 32),
        "repvgg_deployed": (DeployedRepVGG(), 3, 32),
        "vgg_bn": (VGG((2, "M", 3, "M", 4, 4, "M", 4, 3, "M", 4, 5, "M"), True, nn.Linear(5, 10)), 3, 32),
        "vgg_three": (VGG((2, 2, "M", 3, "M", 4, "M", 4, "M", 4, "M"), False, tail), 3, 32),
    }
    for number, (name, (network, channels, side)) in enumerate(cases.items()):
        torch.manual_seed(number)
        randomize(network)
        network.eval()
        count = 2 * channels * side * side
        given = (torch.arange(count, dtype=torch.float64) * 7919 % 1000 / 500 - 1).float().reshape(2, channels, side, side)
        with torch.no_grad():
            logits = network.double()(given.double()).float()
        tensors = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in network.state_dict().items()}
        safetensors.torch.save_file({**tensors, "expected": logits.contiguous()}, folder / f"{name}.safetensors")
