"""ResNet-18, ResNet-50 and MobileNetV2 in torchvision's module structure.

They carry seeded random weights: they measure the engine and check it against a reference, they
do not classify.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv3x3(in_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)


def conv1x1(in_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 1, stride, bias=False)


def projection(in_channels: int, channels: int, stride: int) -> nn.Sequential | None:
    """Shortcut where the shape changes, None where the identity will do."""
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(conv1x1(in_channels, channels, stride), nn.BatchNorm2d(channels))


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = projection(in_channels, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        channels = planes * self.expansion
        self.conv1 = conv1x1(in_channels, planes)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = conv1x1(planes, channels)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = projection(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, block: type[BasicBlock | Bottleneck], blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for index, count in enumerate(blocks):
            layers = []
            for i in range(count):
                stride = 2 if index > 0 and i == 0 else 1
                layers.append(block(channels, 64 << index, stride))
                channels = (64 << index) * block.expansion
            setattr(self, f"layer{index + 1}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def conv_bn_relu6(
    in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6())


class InvertedResidual(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = [conv_bn_relu6(in_channels, hidden, 1)] if expansion != 1 else []
        layers += [
            conv_bn_relu6(hidden, hidden, 3, stride, groups=hidden),
            conv1x1(hidden, channels),
            nn.BatchNorm2d(channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    # expansion, channels, blocks, stride of the first block
    STAGES = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_bn_relu6(3, 32, 3, 2)]
        width = 32
        for expansion, channels, blocks, stride in self.STAGES:
            for i in range(blocks):
                layers.append(InvertedResidual(width, channels, stride if i == 0 else 1, expansion))
                width = channels
        layers.append(conv_bn_relu6(width, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.features(x), 1)
        return self.classifier(x.flatten(1))


NETWORKS = ("resnet18", "resnet50", "mobilenet_v2")


@torch.no_grad()
def randomise(model: nn.Module, input_size: int, generator: torch.Generator) -> None:
    """Random weights and BatchNorm statistics under which signals keep a scale of about one.

    Each running mean and variance is the layer's own over two noise images, times a random
    factor near one, so that every BatchNorm has work to do and none blows the signal up.
    """

    def normal(tensor: Tensor, mean: float, std: float) -> None:
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * std + mean)

    def jitter(count: int) -> Tensor:
        return 0.8 + 0.4 * torch.rand(count, generator=generator)

    def calibrate(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        var, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        module.running_mean.copy_(mean * jitter(len(mean)))
        module.running_var.copy_(var * jitter(len(var)) + 1e-3)

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            normal(module.weight, 0.0, (2 / module.weight[0].numel()) ** 0.5)
        elif isinstance(module, nn.Linear):
            normal(module.weight, 0.0, (2 / module.in_features) ** 0.5)
            normal(module.bias, 0.0, 0.1)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.copy_(jitter(module.num_features))
            normal(module.bias, 0.0, 0.2)
    for module in model.modules():
        # Weak branches keep a deep random network from amplifying rounding errors.
        if isinstance(module, BasicBlock):
            module.bn2.weight.mul_(0.3)
        elif isinstance(module, Bottleneck):
            module.bn3.weight.mul_(0.3)
    batch_norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [module.register_forward_pre_hook(calibrate) for module in batch_norms]
    # Hooks run layer by layer: each one sees inputs that the earlier layers already normalize.
    model.eval()(torch.randn(2, 3, input_size, input_size, generator=generator))
    for hook in hooks:
        hook.remove()


def build(name: str, input_size: int = 224, seed: int = 1) -> nn.Module:
    """Return the network `name`, one of NETWORKS, in evaluation mode with random weights."""
    if name == "resnet18":
        model: nn.Module = ResNet(BasicBlock, (2, 2, 2, 2))
    elif name == "resnet50":
        model = ResNet(Bottleneck, (3, 4, 6, 3))
    elif name == "mobilenet_v2":
        model = MobileNetV2()
    else:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    randomise(model, input_size, torch.Generator().manual_seed(seed))
    return model.eval()
