#!/usr/bin/env python3
"""Write a network trained with lsq.py as ONNX: integers, scales, QuantizeLinear, DequantizeLinear.

    python3 export_quantized.py CHECKPOINT -o ../weights/resnet20-w4a4.onnx

BatchNorm becomes a scale per channel behind the integer weights, and the bias, int32 in units of
the sums (lsq.round_biases). Nothing else is rounded that was not rounded in training.
Weights of 4 bits are INT4 (opset 21), those of 2 bits lie in INT8, and activations in UINT8 behind
a Clip: ONNX Runtime 1.31 refuses convolutions of INT2 and pooling of UINT4. Needs the package onnx.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

import lsq
import networks

OPSET, IR_VERSION = 21, 10


class Writer:
    """Nodes and initializers of the file; methods return the name of what they compute."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, kind: int, values: object) -> str:
        array = np.asarray(values)
        if kind == TensorProto.INT4:
            tensor = helper.make_tensor(name, kind, array.shape, array.flatten())
        else:  # as bytes: a negative number in a list of them takes ten
            array = array.astype(helper.tensor_dtype_to_np_dtype(kind))
            tensor = helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)
        self.initializers.append(tensor)
        return name

    def round(self, x: str, name: str, bits: int, scale: float, zero_point: int = 0) -> str:
        """`x` rounded to unsigned integers of `bits`, and real again."""
        kind = TensorProto.UINT8
        step = self.constant(f"{name}.scale", TensorProto.FLOAT, np.float32(scale))
        zero = self.constant(f"{name}.zero_point", kind, zero_point)
        integers = self.add("QuantizeLinear", [x, step, zero], f"{name}.quantized")
        if bits < 8:
            least = self.constant(f"{name}.least", kind, 0)
            most = self.constant(f"{name}.most", kind, (1 << bits) - 1)
            integers = self.add("Clip", [integers, least, most], f"{name}.clipped")
        return self.add("DequantizeLinear", [integers, step, zero], name)

    def activations(self, x: str, name: str, quantizer: lsq.Quantizer) -> str:
        return self.round(x, name, quantizer.bits, abs(quantizer.step.item()))

    def dequantized(self, name: str, kind: int, integers: Tensor, scale: Tensor) -> str:
        """Integers times a scale for each index of dimension 0."""
        stored = self.constant(f"{name}.integers", kind, integers.to(torch.int64).numpy())
        inputs = [stored, self.constant(f"{name}.scale", TensorProto.FLOAT, scale.numpy())]
        if kind != TensorProto.INT32:
            zeros = np.zeros(len(scale), np.int32)
            inputs.append(self.constant(f"{name}.zero_point", kind, zeros))
        return self.add("DequantizeLinear", inputs, name, axis=0)

    def layer(self, x: str, name: str, layer: nn.Module, norm: nn.Module | None = None) -> str:
        """The layer with its BatchNorm, on an input that is rounded already."""
        integers, scale, bias, unit = lsq.folded(layer, norm or layer.norm)
        fits = layer.quantize_weight.bits == 4 and integers.max() < 8  # signs may have turned -8 to 8
        kind = TensorProto.INT4 if fits else TensorProto.INT8
        weight = self.dequantized(f"{name}.weight", kind, integers, scale)
        inputs = [x, weight, self.dequantized(f"{name}.bias", TensorProto.INT32, bias, unit)]
        if isinstance(layer, nn.Linear):
            return self.add("Gemm", inputs, name, transB=1)
        return self.add(
            "Conv", inputs, name, strides=layer.stride, pads=[*layer.padding, *layer.padding]
        )

    def relu(self, x: str) -> str:
        return self.add("Relu", [x], f"{x}.relu")


def write_resnet(w: Writer, x: str, model: networks.ResNetCifar) -> str:
    def skip(x: str, name: str, block: networks.BasicBlock) -> str:
        ints = lambda key, values: w.constant(f"{name}.{key}", TensorProto.INT64, values)
        if block.stride != 1:
            large = [np.iinfo(np.int64).max] * 2
            x = w.add("Slice", [x, ints("starts", [0, 0]), ints("ends", large), ints("axes", [2, 3]),
                                ints("steps", [block.stride] * 2)], f"{name}.subsampled")  # fmt: skip
        if block.pad:
            x = w.add("Pad", [x, ints("pads", [0, block.pad, 0, 0, 0, block.pad, 0, 0])], f"{name}.padded")
        return x

    x = w.relu(w.layer(x, "conv1", model.conv1, model.bn1))
    x = w.activations(x, "stem", model.bn1.quantize_output)
    for stage in ("layer1", "layer2", "layer3"):
        for i, block in enumerate(getattr(model, stage)):
            name = f"{stage}.{i}"
            y = w.activations(x, f"{name}.conv1.input", block.conv1.quantize_input)
            y = w.relu(w.layer(y, f"{name}.conv1", block.conv1, block.bn1))
            y = w.activations(y, f"{name}.conv2.input", block.conv2.quantize_input)
            y = w.layer(y, f"{name}.conv2", block.conv2, block.bn2)
            y = w.relu(w.add("Add", [y, skip(x, f"{name}.shortcut", block)], f"{name}.sum"))
            x = w.activations(y, name, block.quantize_output)
    x = w.add("GlobalAveragePool", [x], "pool")
    x = w.activations(x, "pool.rounded", model.linear.quantize_input)
    return w.layer(w.add("Flatten", [x], "flat"), "linear", model.linear)


def write_repvgg(w: Writer, x: str, model: networks.RepVGGCifar) -> str:
    blocks = {n: m for n, m in model.named_modules() if isinstance(m, networks.PlainBlock)}
    for name, block in blocks.items():
        if block is not model.stage0:  # whose input are the pixels
            x = w.activations(x, f"{name}.input", block.conv.quantize_input)
        x = w.relu(w.layer(x, name, block.conv, block.bn))
    x = w.activations(x, "features", model.stage3[-1].quantize_output)
    x = w.activations(w.add("GlobalAveragePool", [x], "pool"), "pool.rounded", model.linear.quantize_input)
    return w.layer(w.add("Flatten", [x], "flat"), "linear", model.linear)


def write_lenet(w: Writer, x: str, model: networks.LeNet) -> str:
    def rounded(x: str, reader: nn.Module) -> str:
        # In front of the pool, where training rounds behind it: the largest number stays the largest.
        return w.activations(w.relu(x), f"{x}.rounded", reader.quantize_input)

    def pool(x: str, name: str) -> str:
        return w.add("MaxPool", [x], name, kernel_shape=[2, 2], strides=[2, 2])

    x = pool(rounded(w.layer(x, "conv1", model.conv1), model.conv2), "pool1")
    x = pool(rounded(w.layer(x, "conv2", model.conv2), model.fc1), "pool2")
    x = rounded(w.layer(w.add("Flatten", [x], "flat"), "fc1", model.fc1), model.fc2)
    x = rounded(w.layer(x, "fc2", model.fc2), model.fc3)
    return w.layer(x, "fc3", model.fc3)


WRITERS = {
    networks.ResNetCifar: write_resnet,
    networks.RepVGGCifar: write_repvgg,
    networks.LeNet: write_lenet,
}


@torch.no_grad()
def export(model: nn.Module, name: str) -> onnx.ModelProto:
    w = Writer()
    first = next(m for m in model.modules() if isinstance(m, lsq.PixelQuantizer))
    x = w.round("input", "pixels", 8, first.scale, first.zero_point)
    logits = WRITERS[type(model)](w, x, model)
    w.nodes[-1].output[0] = "logits"
    w.nodes[-1].name = logits
    graph = helper.make_graph(
        w.nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", networks.NUM_CLASSES])],
        w.initializers,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto, full_check=True)
    return proto


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--plain", action="store_true", help="the last weights, not their average")
    arguments = parser.parse_args()

    config = torch.load(arguments.checkpoint, weights_only=True)["config"]
    model = lsq.load_checkpoint(arguments.checkpoint, average=not arguments.plain)
    partial = arguments.output.with_name(arguments.output.name + ".partial")
    onnx.save(export(model, config["network"]), partial)
    partial.replace(arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
