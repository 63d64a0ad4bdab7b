"""The networks that engines are compared on, as PyTorch modules in evaluation mode, and as ONNX files."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "models" / "training"))

import checkpoint  # noqa: E402
import export_onnx  # noqa: E402
import imagenet  # noqa: E402
import networks  # noqa: E402


class VGG16Cifar(nn.Module):
    """VGG-16 for 3x32x32 input: thirteen 3x3 convolutions with BatchNorm, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def folded(sequence: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution followed by a BatchNorm, as one convolution."""
    conv, norm = sequence[0], sequence[1]
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return conv.weight * scale.reshape(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


def fuse_block(block: nn.Module) -> nn.Sequential:
    """A RepVGG block as one 3x3 convolution and ReLU (Ding et al. 2021)."""
    weight, bias = folded(block.rbr_dense)
    one, one_bias = folded(block.rbr_1x1)
    weight = weight + nn.functional.pad(one, (1, 1, 1, 1))
    bias = bias + one_bias
    if block.rbr_identity is not None:
        norm = block.rbr_identity
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = weight.clone()
        for c in range(len(scale)):
            weight[c, c, 1, 1] += scale[c]
        bias = bias + norm.bias - norm.running_mean * scale
    source = block.rbr_dense[0]
    conv = nn.Conv2d(source.in_channels, source.out_channels, 3, stride=source.stride, padding=1)
    conv.weight.data, conv.bias.data = weight, bias
    return nn.Sequential(conv, nn.ReLU())


@torch.no_grad()
def fuse_repvgg(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, networks.RepVGGBlock):
            setattr(module, name, fuse_block(child))
        else:
            fuse_repvgg(child)
    return module


NETWORKS = ("resnet20", "repvgg", "lenet3", "lenet5", "lenet7", "vgg16", "resnet18", "resnet50", "mobilenet_v2")


def image_size(name: str) -> int:
    return 224 if name in imagenet.NETWORKS else 32


def build(name: str) -> nn.Module:
    """Trained weights where the project has them, seeded random ones elsewhere. repvgg comes fused, so that every engine gets the same work."""
    if name in imagenet.NETWORKS:
        return imagenet.build(name)
    if name == "vgg16":
        model = VGG16Cifar()
        imagenet.randomise(model, 32, torch.Generator().manual_seed(1))
        return model.eval()
    weights = checkpoint.load_weights(ROOT / "models" / "weights" / f"{name}.safetensors")
    model = networks.load(name, weights)
    return fuse_repvgg(model).eval() if name == "repvgg" else model


def write_onnx(name: str, path: Path) -> None:
    export_onnx.export(build(name), torch.randn(1, 3, image_size(name), image_size(name)), path, 17)
