#!/usr/bin/env python3
"""Write a network as ONNX, BatchNormalization nodes and RepVGG branches kept.

    python3 export_onnx.py --network resnet20 --weights ../weights/resnet20.safetensors -o r20.onnx
    python3 export_onnx.py --network resnet50 --seed 1 -o r50.onnx --reference r50-reference

The CIFAR networks take 3x32x32 images and trained weights, the ImageNet ones are random.
Needs the package onnx.
"""

from __future__ import annotations

import argparse
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.onnx import symbolic_helper

import checkpoint
import imagenet
import networks


def pad_symbolic(g: Any, x: Any, pads: Any, mode: Any, value: Any) -> Any:
    """Zero padding with constant `pads`; the exporter's own rule computes them in the graph."""
    widths = symbolic_helper._maybe_get_const(pads, "is")
    axes = len(widths) // 2
    rank = symbolic_helper._get_tensor_rank(x)
    # torch lists (begin, end) from the last axis on, ONNX all begins and then all ends.
    begins = [0] * (rank - axes) + list(widths[-2::-2])
    ends = [0] * (rank - axes) + list(widths[::-2])
    constant = g.op("Constant", value_t=torch.tensor(begins + ends, dtype=torch.int64))
    return g.op("Pad", x, constant, mode_s="constant")


def unshare_initializers(model: onnx.ModelProto) -> None:
    """Give every parameter its own initializer again.

    The exporter merges equal ones, such as the biases of parallel BatchNorms, through `Identity`.
    """
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Identity" and n.input[0] in initializers]:
        copy = graph.initializer.add()
        copy.CopyFrom(initializers[node.input[0]])
        copy.name = node.output[0]
        graph.node.remove(node)


def export(model: nn.Module, sample: Tensor, path: Path, opset: int) -> None:
    """Write `model` with the input `input` and the output `logits`, the batch axis dynamic."""
    # Preserving the mode, which is evaluation, keeps the BatchNormalization nodes; only the
    # TorchScript exporter offers that.
    warnings.filterwarnings("ignore", module="torch.onnx")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.onnx.register_custom_op_symbolic("aten::pad", pad_symbolic, opset)
    buffer = io.BytesIO()
    torch.onnx.export(
        model,
        (sample,),
        buffer,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=opset,
        do_constant_folding=True,
        training=torch.onnx.TrainingMode.PRESERVE,
        dynamo=False,
    )
    graph = onnx.load_from_string(buffer.getvalue())
    unshare_initializers(graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True, choices=networks.NETWORKS + imagenet.NETWORKS)
    parser.add_argument("--weights", type=Path, help="safetensors or checkpoint (CIFAR networks)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--input-size", type=int, default=224, help="ImageNet networks only")
    parser.add_argument("--seed", type=int, default=1, help="random weights and reference input")
    parser.add_argument("--opset", type=int, default=17)
    parser.add_argument("--reference", type=Path, help="folder for input.npy and output.npy")
    parser.add_argument("--batch", type=int, default=1, help="images in the reference input")
    arguments = parser.parse_args()

    if arguments.network in imagenet.NETWORKS:
        size = arguments.input_size
        model = imagenet.build(arguments.network, size, arguments.seed)
    elif arguments.weights is None:
        parser.error(f"{arguments.network} needs --weights")
    else:
        size = 32
        model = networks.load(arguments.network, checkpoint.load_weights(arguments.weights))

    generator = torch.Generator().manual_seed(arguments.seed)
    sample = torch.randn(arguments.batch, 3, size, size, generator=generator)
    with torch.no_grad():
        output = model(sample)
    export(model, sample, arguments.output, arguments.opset)
    print(f"{arguments.output}: input {list(sample.shape)}, logits std {output.std():.3f}")
    if arguments.reference:
        arguments.reference.mkdir(parents=True, exist_ok=True)
        np.save(arguments.reference / "input.npy", sample.numpy())
        np.save(arguments.reference / "output.npy", output.numpy())


if __name__ == "__main__":
    main()
