"""The CIFAR-10 networks konv ships weights for.

Module names are a contract: the C++ network builders look tensors up by the
resulting parameter names.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NUM_CLASSES = 10


class BasicBlock(nn.Module):
    """Residual block with the parameter-free shortcut (option A) of He et al. 2015."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.pad = (channels - in_channels) // 2

    def shortcut(self, x: Tensor) -> Tensor:
        """Subsample and pad the channels with zeros, equally in front and behind."""
        if self.stride != 1:
            x = x[..., :: self.stride, :: self.stride]
        if self.pad:
            x = F.pad(x, (0, 0, 0, 0, self.pad, self.pad))
        return x

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNetCifar(nn.Module):
    """CIFAR ResNet of depth 6n+2; names as in akamaster/pytorch_resnet_cifar10."""

    def __init__(self, blocks: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, stride=1)
        self.layer2 = self._stage(16, 32, blocks, stride=2)
        self.layer3 = self._stage(32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, NUM_CLASSES)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        first = BasicBlock(in_channels, channels, stride)
        return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


def conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Sequential:
    """Bias-free convolution and BatchNorm under the names `conv` and `bn`."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels)))


class RepVGGBlock(nn.Module):
    """Training-time block of RepVGG (Ding et al. 2021): 3x3 + 1x1 + identity, then ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.rbr_dense = conv_bn(in_channels, out_channels, 3, stride)
        self.rbr_1x1 = conv_bn(in_channels, out_channels, 1, stride)
        has_identity = in_channels == out_channels and stride == 1
        self.rbr_identity = nn.BatchNorm2d(in_channels) if has_identity else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.rbr_dense(x) + self.rbr_1x1(x)
        if self.rbr_identity is not None:
            out = out + self.rbr_identity(x)
        return F.relu(out)


class PlainBlock(nn.Module):
    """A RepVGG block at inference: its branches as one 3x3 convolution, BatchNorm, ReLU."""

    def __init__(self, block: RepVGGBlock) -> None:
        super().__init__()
        dense = block.rbr_dense.conv
        self.conv = nn.Conv2d(dense.in_channels, dense.out_channels, 3, dense.stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(dense.out_channels)
        with torch.no_grad():
            kernel, bias = fold(dense.weight, block.rbr_dense.bn)
            pointwise, more = fold(F.pad(block.rbr_1x1.conv.weight, (1, 1, 1, 1)), block.rbr_1x1.bn)
            kernel, bias = kernel + pointwise, bias + more
            if block.rbr_identity is not None:
                one = torch.eye(dense.in_channels)[:, :, None, None]
                identity, more = fold(F.pad(one, (1, 1, 1, 1)), block.rbr_identity)
                kernel, bias = kernel + identity, bias + more
            self.conv.weight.copy_(kernel)
            self.bn.bias.copy_(bias)
            self.bn.running_var.fill_(1 - self.bn.eps)  # with mean 0 and weight 1: x + bias

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def fold(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that contains the BatchNorm behind it."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


class RepVGGCifar(nn.Module):
    """RepVGG-style CIFAR network; `blocks` counts the blocks of stages 1 to 3."""

    def __init__(
        self, widths: Sequence[int] = (32, 64, 128), blocks: Sequence[int] = (2, 3, 3)
    ) -> None:
        super().__init__()
        self.stage0 = RepVGGBlock(3, widths[0], 1)
        self.stage1 = self._stage(widths[0], widths[0], blocks[0], stride=1)
        self.stage2 = self._stage(widths[0], widths[1], blocks[1], stride=2)
        self.stage3 = self._stage(widths[1], widths[2], blocks[2], stride=2)
        self.linear = nn.Linear(widths[2], NUM_CLASSES)

    @staticmethod
    def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        first = RepVGGBlock(in_channels, channels, stride)
        return nn.Sequential(
            first, *(RepVGGBlock(channels, channels, 1) for _ in range(blocks - 1))
        )

    def fuse(self) -> None:
        """Replace every block by the one convolution that computes the same in evaluation mode."""
        self.stage0 = PlainBlock(self.stage0)
        self.stage1, self.stage2, self.stage3 = (
            nn.Sequential(*map(PlainBlock, stage)) for stage in (self.stage1, self.stage2, self.stage3)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.stage1(self.stage0(x))))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class LeNet(nn.Module):
    """LeNet-5 layout for 3x32x32 input with `kernel` x `kernel` convolutions."""

    def __init__(self, kernel: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, kernel)
        self.conv2 = nn.Conv2d(6, 16, kernel)
        side = ((32 - kernel + 1) // 2 - kernel + 1) // 2
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, NUM_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


NETWORKS = ("resnet20", "repvgg", "lenet3", "lenet5", "lenet7")


def build(name: str) -> nn.Module:
    """Return the freshly initialised network called `name`, one of NETWORKS."""
    if name == "resnet20":
        return ResNetCifar(3)
    if name == "repvgg":
        return RepVGGCifar()
    if name in ("lenet3", "lenet5", "lenet7"):
        return LeNet(int(name[-1]))
    raise ValueError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")


def load(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the network `name` in evaluation mode with exactly the given weights."""
    model = build(name)
    result = model.load_state_dict(tensors, strict=False)
    missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
    if missing or result.unexpected_keys:
        raise ValueError(f"{name}: missing {missing}, unexpected {result.unexpected_keys}")
    return model.eval()


def fused_macs(model: nn.Module) -> int:
    """Multiply-accumulates of one 3x32x32 inference, with RepVGG blocks fused to one 3x3."""
    total = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output[0].numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(count)
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and "rbr_1x1" not in name
    ]
    training = model.training
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, 32, 32))
    model.train(training)
    for hook in hooks:
        hook.remove()
    return total
