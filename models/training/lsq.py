"""Learned step size quantization (Esser et al. 2020, arXiv 1902.08153) of the networks in networks.py.

A quantizer rounds to the integers low ... high times a step, and learns the step along with the weights:

    y = step * round(clamp(x / step, low, high))                      ties to even
    dy/dx    = 1 inside the range, 0 outside
    dy/dstep = round(x / step) - x / step inside, low or high outside

The gradient of a step is scaled by 1 / sqrt(elements per step * high), as in the paper. All that an
integer network rounds is rounded here: pixels, weights, layer inputs, skips and pooled features.
Weights are rounded in front of their BatchNorm, which becomes a scale per channel behind them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import checkpoint
import data
import networks

END_BITS = 8
"""Weights and inputs of the first and the last layer, and skips."""


def _rounded(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    return (x / step).clamp(low, high).round() * step


def _gradients(grad: Tensor, x: Tensor, step: Tensor, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Along x, and along the step, not scaled yet."""
    scaled = x / step
    clamped = scaled.clamp(low, high)
    inside = clamped == scaled
    along_step = grad * (clamped.round() - torch.where(inside, scaled, 0.0))
    return torch.where(inside, grad, 0.0), along_step.sum_to_size(step.shape)


# Images pass memory once instead of once per operation. Any side of crop takes the same code.
_images_rounded = torch.compile(_rounded, dynamic=True)
_images_gradients = torch.compile(_gradients, dynamic=True)


class _LearnedRounding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.low, ctx.high = low, high
        images = x.ndim == 4 and step.numel() == 1
        ctx.gradients = _images_gradients if images and ctx.needs_input_grad[0] else _gradients
        return (_images_rounded if images else _rounded)(x, step, low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, step = ctx.saved_tensors
        grad_x, along_step = ctx.gradients(grad, x, step, ctx.low, ctx.high)
        return grad_x, along_step / math.sqrt(x.numel() / step.numel() * ctx.high), None, None


def best_step(x: Tensor, low: int, high: int) -> Tensor:
    """The step with the least squared rounding error for each row of `x`."""
    largest = torch.maximum(x.amax(1) / high, x.amin(1) / low if low else x.new_zeros(()))
    best = largest.clamp_min(1e-8)
    least = torch.full_like(best, math.inf)
    for shrink in torch.linspace(0.1, 1.0, 46):
        step = (largest * shrink).clamp_min(1e-8).unsqueeze(1)
        error = ((x / step).round_().clamp_(low, high) * step - x).square_().sum(1)
        best = torch.where(error < least, step.squeeze(1), best)
        least = torch.minimum(error, least)
    return best


class Quantizer(nn.Module):
    """Rounds to integers of `bits` times a learned step: one step, or one per index of dimension 0.

    Unsigned ones serve activations and contain the ReLU. Before start() they let everything pass.
    Weights of 8 bits need no learning: their step follows the largest one, since a single weight
    that is clipped would pull it with 127 times its own gradient.
    """

    def __init__(self, bits: int, signed: bool, channels: int = 1) -> None:
        super().__init__()
        self.bits = bits
        self.low = -(1 << (bits - 1)) if signed else 0
        self.high = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
        self.learns = not (signed and bits >= 8)
        self.step = nn.Parameter(torch.zeros(channels), requires_grad=self.learns)

    def current_step(self, x: Tensor) -> Tensor:
        """The steps as they stand, in a shape that broadcasts over `x`."""
        step = self.step.abs() if self.learns else x.detach().flatten(1).abs().amax(1) / self.high
        return step if step.numel() == 1 else step.view(-1, *[1] * (x.ndim - 1))

    @torch.no_grad()
    def start_at_mean(self, weight: Tensor) -> None:
        """Set the steps by the mean of |weight|, as the paper does, and clip the weights (in place) to what they reach.

        For kernels in which few weights are large: fused identities, which the least error would keep, and nothing else.
        """
        self.step.copy_(2 * weight.flatten(1).abs().mean(1) / math.sqrt(self.high))
        step = self.current_step(weight)
        weight.copy_(torch.minimum(torch.maximum(weight, self.low * step), self.high * step))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Set the steps to the best ones for the values `x`."""
        rows = x.reshape(self.step.numel(), -1)
        most = 1 << 15
        self.step.copy_(best_step(rows[:, :: max(1, rows.shape[1] // most)], self.low, self.high))

    def forward(self, x: Tensor) -> Tensor:
        if not self.step.detach().count_nonzero():
            return x
        return _LearnedRounding.apply(x, self.current_step(x), self.low, self.high)

    def integers(self, x: Tensor) -> Tensor:
        """round(clamp(x / step, low, high)) for weights."""
        return (x / self.current_step(x)).clamp(self.low, self.high).round()


class PixelQuantizer(nn.Module):
    """Normalized pixels as 8-bit integers; scale and zero point follow from data.normalize()."""

    def __init__(self) -> None:
        super().__init__()
        lowest = min(-m / s for m, s in zip(data.MEAN, data.STD, strict=True))
        highest = max((1 - m) / s for m, s in zip(data.MEAN, data.STD, strict=True))
        self.scale = float(torch.tensor((highest - lowest) / 255))
        self.zero_point = round(-lowest / self.scale)

    def forward(self, x: Tensor) -> Tensor:
        z = self.zero_point
        return ((x / self.scale).round_().clamp_(-z, 255 - z)).mul_(self.scale)


def _add_quantizers(layer: nn.Conv2d | nn.Linear, weight_bits: int, quantize_input: nn.Module) -> None:
    layer.quantize_input = quantize_input
    layer.quantize_weight = Quantizer(weight_bits, signed=True, channels=layer.weight.shape[0])
    layer.register_module("norm", None)


class Conv2d(nn.Conv2d):
    """A convolution whose input and weight are rounded first, with a BatchNorm of its own if it has one.

    With `bfloat16`, training multiplies in bfloat16 and sums in float32: twice as fast where the CPU has tiles for it.
    """

    def forward(self, x: Tensor) -> Tensor:
        x, weight = self.quantize_input(x), self.quantize_weight(self.weight)
        if self.bfloat16 and self.training:
            y = self._conv_forward(x.bfloat16(), weight.bfloat16(), None).float()
            y = y if self.bias is None else y + self.bias.view(-1, 1, 1)
        else:
            y = self._conv_forward(x, weight, self.bias)
        return self.norm(y) if self.norm is not None else y


class Linear(nn.Linear):
    """A fully connected layer whose input and weight are rounded first, with a BatchNorm of its own if it has one."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(self.quantize_input(x), self.quantize_weight(self.weight), self.bias)
        return self.norm(y) if self.norm is not None else y


def prepare(
    model: nn.Module, weight_bits: int, activation_bits: int, norms: bool = False, bfloat16: bool = False
) -> nn.Module:
    """Put quantizers into a network of networks.py, in place; start() sets their steps.

    Its parameters keep their names; those of the quantizers come on top. RepVGG blocks are fused.
    With `norms`, the layers of a LeNet, which has none, get a BatchNorm for training, all but the
    last: what it does ends up in the scales and biases that the integer layers have anyway.
    With `bfloat16`, convolutions behind the first train in it.
    """
    if isinstance(model, networks.RepVGGCifar):
        model.fuse()
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        end = layer in (layers[0], layers[-1])
        bits = END_BITS if end else weight_bits
        layer.__class__ = Conv2d if isinstance(layer, nn.Conv2d) else Linear
        layer.bfloat16 = bfloat16 and layer is not layers[0]
        inputs = Quantizer(END_BITS if end else activation_bits, signed=False)
        _add_quantizers(layer, bits, PixelQuantizer() if layer is layers[0] else inputs)
        if norms and isinstance(model, networks.LeNet) and layer is not layers[-1]:
            kind = nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm1d
            layer.norm = kind(layer.weight.shape[0])
    # What skips and global pooling read is rounded where it arises.
    read_as_is: list[nn.Module] = []
    if isinstance(model, networks.ResNetCifar):
        read_as_is = [model.bn1, *(m for m in model.modules() if isinstance(m, networks.BasicBlock))]
    elif isinstance(model, networks.RepVGGCifar):
        read_as_is = [model.stage3[-1]]
    for module in read_as_is:
        module.quantize_output = Quantizer(END_BITS, signed=False)
        module.register_forward_hook(lambda m, _, output: m.quantize_output(output))
    return model


@torch.no_grad()
def start(model: nn.Module, images: Tensor, mean_steps: bool = False) -> None:
    """Set all steps: those of weights by the weights, the others one by one by what `images` give.

    With `mean_steps`, learned steps of weights begin at a multiple of the mean instead of the least error.

    A BatchNorm that prepare() brought takes the statistics of its input, and a scale and bias by
    which it still passes on the same, so that training starts there too.
    """

    def set_step(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not module.step.count_nonzero():
            module.start(inputs[0].relu() if module.low == 0 else inputs[0])

    for layer in model.modules():
        if mean_steps and isinstance(layer, (Conv2d, Linear)) and layer.quantize_weight.learns:
            layer.quantize_weight.start_at_mean(layer.weight)
    quantizers = [m for m in model.modules() if isinstance(m, Quantizer)]
    hooks = [module.register_forward_pre_hook(set_step) for module in quantizers]
    norms = [m.bn for m in model.modules() if isinstance(m, networks.PlainBlock)]
    norms += [m.norm for m in model.modules() if isinstance(m, (Conv2d, Linear)) and m.norm is not None]
    hooks += [norm.register_forward_pre_hook(_keep_function) for norm in norms]
    training = model.training
    model.eval()(data.normalize(images))
    model.train(training)
    for hook in hooks:
        hook.remove()


def _keep_function(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Give a BatchNorm that only adds its bias the statistics of its input, without any effect."""
    variance, mean = torch.var_mean(inputs[0].transpose(0, 1).flatten(1), dim=1)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.add_(mean)


def folded(
    layer: nn.Conv2d | nn.Linear, norm: nn.Module | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """An integer layer's parts: weights, and for each output their scale, bias and the bias's scale.

    Weights and biases are integers; real weights are weights * scale, real biases bias * bias scale.
    The bias counts in units of the sums it is added to, so that integers hold all of the layer.
    """
    quantizer: Quantizer = layer.quantize_weight
    integers = quantizer.integers(layer.weight)
    scale = quantizer.current_step(layer.weight).flatten().double()
    bias = torch.zeros_like(scale) if layer.bias is None else layer.bias.double()
    if norm is not None:
        factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        bias = (bias - norm.running_mean.double()) * factor + norm.bias.double()
        scale = scale * factor
        integers = integers * scale.sign().view(-1, *[1] * (integers.ndim - 1))
    scale = scale.abs().clamp_min(1e-12).float()
    pixels = isinstance(layer.quantize_input, PixelQuantizer)
    unit = scale * (layer.quantize_input.scale if pixels else layer.quantize_input.step.abs())
    return integers, scale, (bias / unit.double()).round(), unit


@torch.no_grad()
def round_biases(model: nn.Module) -> nn.Module:
    """Round the biases, BatchNorm's part in them included, as integer layers do; in place.

    For evaluation: from here on the network computes what the exported integers compute.
    """
    norms = {"conv1": "bn1", "conv2": "bn2", "conv": "bn"}
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, (Conv2d, Linear)):
            continue
        parent, _, last = name.rpartition(".")
        norm = layer.norm or getattr(model.get_submodule(parent), norms.get(last, ""), None)
        _, _, bias, unit = folded(layer, norm)
        if norm is None:
            layer.bias.copy_(bias * unit)
        else:
            norm.running_mean.zero_()
            norm.bias.copy_(bias * unit)
            if layer.bias is not None:
                layer.bias.zero_()
    return model


def load_checkpoint(path: Path, average: bool = True) -> nn.Module:
    """The quantized network of a checkpoint of train.py, in evaluation mode, biases rounded."""
    config = torch.load(path, map_location="cpu", weights_only=True)["config"]
    if not config["weight_bits"]:
        raise ValueError(f"{path}: a float network, expected one trained with weight_bits")
    model = networks.build(config["network"])
    prepare(model, config["weight_bits"], config["activation_bits"], config.get("norms", False))
    result = model.load_state_dict(checkpoint.load_weights(path, average), strict=False)
    missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
    if missing or result.unexpected_keys:
        raise ValueError(f"{path}: missing {missing}, unexpected {result.unexpected_keys}")
    return round_biases(model.eval())
