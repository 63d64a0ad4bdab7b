"""ONNX models: convolutions, elementwise operators, pools, ways to store tensors, and what PyTorch's exporters write."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Case:
    """A model with one input x, whose nodes' results are outputs."""

    def __init__(self, name: str, opset: int, x: np.ndarray, symbols: tuple[str | None, ...] = ()) -> None:
        self.name, self.opset, self.x = name, opset, x
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: list[str] = []
        self.expected: dict[str, np.ndarray] = {}
        shape = [symbol or size for symbol, size in zip(symbols or (None,) * x.ndim, x.shape)]
        self.input = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), shape)

    def constant(self, value: object, dtype: object = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def step(self, op: str, inputs: list[str], outputs: int | list[str] = 1, **attributes: object) -> str:
        """A node; returns its first output."""
        names = outputs if isinstance(outputs, list) else [f"v{len(self.nodes)}"]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"{op}{len(self.nodes)}", **attributes))
        return names[0]

    def output(self, op: str, inputs: list[str], expected: np.ndarray | None = None, **options: object) -> None:
        name = self.step(op, inputs, **options)
        self.outputs.append(name)
        if expected is not None:
            self.expected[name] = np.asarray(expected, np.float32)

    def model(self, extra: list[onnx.TensorProto]) -> onnx.ModelProto:
        outputs = [onnx.ValueInfoProto(name=name) for name in self.outputs]
        for output in outputs:
            output.type.tensor_type.elem_type = TensorProto.FLOAT
        graph = helper.make_graph(self.nodes, self.name, [self.input], outputs, self.constants + extra)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], producer_name="konv fixtures")
        model.ir_version = min(model.ir_version, 9)
        return model

    def save(self, folder: Path) -> None:
        missing = [name for name in self.outputs if name not in self.expected]
        if missing:
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            model = onnx.shape_inference.infer_shapes(self.model([]))
            for output in model.graph.output:  # types of integer results
                output.type.tensor_type.elem_type = next(
                    (v.type.tensor_type.elem_type for v in [*model.graph.value_info, *model.graph.output] if v.name == output.name), 1
                )
            session = onnxruntime.InferenceSession(model.SerializeToString(), options)
            self.expected |= dict(zip(missing, session.run(missing, {"x": self.x})))
        extra = [numpy_helper.from_array(self.x, "given:x")]
        extra += [numpy_helper.from_array(np.asarray(self.expected[name]), f"expected:{name}") for name in self.outputs]
        onnx.save(self.model(extra), folder / f"{self.name}.onnx")


def convolutions(folder: Path) -> None:
    case = Case("convolution_17", 17, numbers(2, 4, 5, 6), ("N", None, None, None))
    w = case.constant(numbers(6, 4, 3, 2, seed=1))
    case.output("Conv", ["x", w, case.constant(numbers(6))], pads=[1, 0, 2, 1], strides=[2, 1], kernel_shape=[3, 2])
    case.output("Conv", ["x", case.constant(numbers(4, 2, 3, 3, seed=2))], group=2, dilations=[2, 1], pads=[2, 1, 2, 1])
    case.output("Conv", ["x", case.constant(numbers(8, 1, 3, 3, seed=3)), case.constant(numbers(8))], group=4)
    for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        case.output("Conv", ["x", w], auto_pad=auto_pad, strides=[2, 1])
    t = case.constant(numbers(4, 3, 3, 3, seed=4))
    case.output("ConvTranspose", ["x", t, case.constant(numbers(3))], strides=[2, 2], pads=[1, 1, 0, 1], output_padding=[1, 0])
    case.output("ConvTranspose", ["x", t], strides=[2, 3], output_shape=[10, 18])
    case.output("ConvTranspose", ["x", case.constant(numbers(4, 2, 2, 2, seed=5))], group=2, dilations=[2, 1])
    norm = [case.constant(numbers(4, seed=seed)) for seed in (1, 2, 3)] + [case.constant(np.abs(numbers(4, seed=4)) + 0.1)]
    case.output("BatchNormalization", ["x", *norm], epsilon=1e-3)
    flat = case.step("Flatten", ["x"])
    case.output("Gemm", [flat, case.constant(numbers(5, 120, seed=6)), case.constant(numbers(5))], transB=1, alpha=0.5, beta=2.0)
    case.output("Gemm", [flat, case.constant(numbers(2, 3, seed=6))], transA=1)
    case.output("MatMul", ["x", case.constant(numbers(6, 3, seed=7))])
    case.save(folder)

    case = Case("convolution_1d", 13, numbers(2, 3, 11))
    case.output("Conv", ["x", case.constant(numbers(4, 3, 3, seed=1))], pads=[1, 1], strides=[2])
    case.output("MaxPool", ["x"], kernel_shape=[3], strides=[2])
    case.output("GlobalAveragePool", ["x"])
    case.save(folder)

    x = numbers(2, 3, 4, 4)
    case = Case("convolution_6", 6, x)
    gamma, beta, mean, variance = numbers(3, seed=1), numbers(3, seed=2), numbers(3, seed=3), np.abs(numbers(3, seed=4)) + 0.1
    norm = [case.constant(value) for value in (gamma, beta, mean, variance)]
    expected = F.batch_norm(*map(torch.tensor, (x, mean, variance, gamma, beta)), eps=1e-5)
    case.output("BatchNormalization", ["x", *norm], expected, is_test=1, spatial=1, epsilon=1e-5, momentum=0.9)
    weight, bias = numbers(48, 5, seed=5), numbers(5, seed=6)
    flat = case.step("Flatten", ["x"])
    case.output("Gemm", [flat, case.constant(weight), case.constant(bias)], x.reshape(2, 48) @ weight + bias, broadcast=1)
    case.save(folder)


def elementwise(folder: Path) -> None:
    case = Case("elementwise_17", 17, numbers(1, 3, 4, 5) * 3)
    for op in ("Relu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softmax", "LeakyRelu", "Identity"):
        case.output(op, ["x"])
    case.output("LeakyRelu", ["x"], alpha=0.25)
    case.output("HardSigmoid", ["x"], alpha=0.4, beta=0.3)
    case.output("Clip", ["x", case.constant(-0.5), case.constant(1.5)])
    case.output("Clip", ["x", "", case.constant(1.5)])
    case.output("Clip", ["x", case.constant(0.25)])
    case.output("Softmax", ["x"], axis=1)
    case.output("Dropout", ["x", case.constant(0.5), case.constant(False, bool)], outputs=["dropped", "unread_mask"])
    row, channel = case.constant(numbers(5) + 3), case.constant(numbers(3, 1, 1) + 3)
    for op in ("Add", "Sub", "Mul", "Div"):
        case.output(op, ["x", channel])
        case.output(op, [row, "x"] if op != "Div" else ["x", row])
    case.output("Cast", [case.step("Cast", ["x"], to=TensorProto.INT32)], to=TensorProto.FLOAT)
    case.save(folder)

    case = Case("elementwise_11", 11, numbers(2, 3, 4))
    case.output("Clip", ["x", case.constant(-0.5)])
    case.output("Softmax", ["x"])
    case.output("Softmax", ["x"], axis=2)
    case.output("Softmax", ["x"], axis=-2)
    case.save(folder)

    x = numbers(2, 3, 4, 5)
    case = Case("elementwise_6", 6, x)
    case.output("Clip", ["x"], np.clip(x, -0.5, 0.5), min=-0.5, max=0.5)
    case.output("Clip", ["x"], np.maximum(x, 0), min=0.0)
    flat = x.reshape(2, -1)
    softmax = np.exp(flat) / np.exp(flat).sum(1, keepdims=True)
    case.output("Softmax", ["x"], softmax.reshape(x.shape))
    channel, inner, row = numbers(3, seed=1), numbers(3, 4, seed=2), numbers(5, seed=3)
    case.output("Add", ["x", case.constant(channel)], x + channel[:, None, None], broadcast=1, axis=1)
    case.output("Mul", ["x", case.constant(inner)], x * inner[:, :, None], broadcast=1, axis=1)
    case.output("Sub", ["x", case.constant(row)], x - row, broadcast=1)
    case.output("Div", ["x", case.constant(x + 3)], x / (x + 3))
    case.output("Dropout", ["x"], x, is_test=1, ratio=0.5, outputs=["dropped", "unread_mask"])
    case.save(folder)


def pools(folder: Path) -> None:
    case = Case("pooling_17", 17, numbers(2, 3, 8, 7))
    window = {"kernel_shape": [3, 2], "strides": [2, 2]}
    case.output("MaxPool", ["x"], **window, pads=[1, 0, 1, 1])
    case.output("MaxPool", ["x"], **window, ceil_mode=1, outputs=["ceiled", "unread_indices"])
    case.output("MaxPool", ["x"], kernel_shape=[2, 2], dilations=[2, 3])
    case.output("MaxPool", ["x"], **window, auto_pad="SAME_UPPER")
    case.output("AveragePool", ["x"], **window, pads=[1, 0, 1, 1])
    case.output("AveragePool", ["x"], **window, pads=[1, 0, 1, 1], count_include_pad=1)
    case.output("AveragePool", ["x"], kernel_shape=[3, 3], auto_pad="SAME_LOWER")
    case.output("GlobalAveragePool", ["x"])
    case.output("GlobalMaxPool", ["x"])
    case.output("ReduceMean", ["x"], axes=[-1, 1], keepdims=0)
    case.output("ReduceMax", ["x"], axes=[2])
    case.output("ReduceMin", ["x"], keepdims=0)
    case.output("ReduceSum", ["x", case.ints(1, 2)])
    case.save(folder)

    case = Case("pooling_18", 18, numbers(2, 3, 4, 5))
    case.output("ReduceMean", ["x", case.ints(2, 3)], keepdims=0)
    case.output("ReduceMax", ["x", case.ints(-1)])
    case.output("ReduceMin", ["x", case.ints(0)])
    case.output("ReduceMean", ["x"], noop_with_empty_axes=1)
    case.output("ReduceMean", ["x"])
    case.save(folder)

    case = Case("pooling_7", 7, numbers(2, 3, 4, 5))
    case.output("ReduceSum", ["x"], axes=[1, 3])
    case.output("MaxPool", ["x"], kernel_shape=[2, 2])
    case.output("AveragePool", ["x"], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1])
    case.save(folder)


class Small(nn.Module):
    """A bit of everything that exporters spell in their own ways."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        self.linear = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.bn(self.conv(x)))
        x = x + F.hardswish(self.depthwise(x))
        x = torch.cat([x, F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)], 1)
        x = F.adaptive_avg_pool2d(x, 1)
        return F.softmax(self.linear(x.view(x.size(0), -1)), 1)


def exported(folder: Path) -> None:
    torch.manual_seed(0)
    network, x = Small().eval(), torch.tensor(numbers(2, 3, 8, 8))
    network.bn.running_mean.uniform_()
    expected = network(x).detach().numpy()
    for name, options in {
        "exported_11": {"dynamo": False, "opset_version": 11, "dynamic_axes": {"x": {0: "batch"}}},
        "exported_17": {"dynamo": False, "opset_version": 17},
        "exported_dynamo": {"dynamo": True, "external_data": False, "verbose": False},
    }.items():
        buffer = io.BytesIO()
        torch.onnx.export(network, (x,), buffer, input_names=["x"], output_names=["y"], **options)
        model = onnx.load_from_string(buffer.getvalue())
        for node in model.graph.node:
            del node.metadata_props[:]
        del model.graph.metadata_props[:], model.metadata_props[:], model.graph.value_info[:]
        model.graph.initializer.extend([numpy_helper.from_array(x.numpy(), "given:x"), numpy_helper.from_array(expected, "expected:y")])
        onnx.save(model, folder / f"{name}.onnx")


def storage(folder: Path) -> None:
    """Element i of every initializer is i; "raw" ones lie in raw_data, the others in the typed fields, external ones beside the file."""
    types = {
        "float": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "double": 11, "uint32": 12,
        "uint64": 13, "bfloat16": 16, "uint4": 21, "int4": 22,
    }  # fmt: skip
    tensors = []
    for name, number in types.items():
        values = np.arange(2 if name == "bool" else 7)
        as_type = values.astype(helper.tensor_dtype_to_np_dtype(number))
        tensors.append(helper.make_tensor(f"field_{name}", number, values.shape, as_type))
        tensors.append(numpy_helper.from_array(as_type, f"raw_{name}"))
    # Two-bit types are newer than some releases of the onnx package: 0, 1, 0, 1, 0 packed by hand.
    for name, number in {"uint2": 25, "int2": 26}.items():
        tensors.append(TensorProto(name=f"alternating_{name}", data_type=number, dims=[5], raw_data=bytes([0b01000100, 0])))
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("sparse", 1, [2], [1.0, 5.0]), helper.make_tensor("", 7, [2], [1, 5]), [2, 3]
    )  # 0 1 0, 0 0 5
    inputs = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", ["N", 7]), ("field_float", [7]))]
    identity = helper.make_node("Add", ["x", "field_float"], ["y"])
    graph = helper.make_graph([identity], "storage", inputs, [helper.make_tensor_value_info("y", 1, ["N", 7])], tensors, sparse_initializer=[sparse])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "storage.onnx")

    external = [numpy_helper.from_array(numbers(3, seed=seed), f"w{seed}") for seed in (0, 1)]
    nodes = [helper.make_node("Add", ["x", "w0"], ["v"]), helper.make_node("Mul", ["v", "w1"], ["y"])]
    x = numbers(3, seed=2)
    expected = (x + numbers(3, seed=0)) * numbers(3, seed=1)
    given = [numpy_helper.from_array(x, "given:x"), numpy_helper.from_array(expected, "expected:y")]
    infos = [helper.make_tensor_value_info(name, 1, [3]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "external", infos[:1], infos[1:], external + given), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    onnx.save(model, folder / "external.onnx", save_as_external_data=True, location="external.bin", size_threshold=0)


def make(folder: Path) -> None:
    convolutions(folder)
    elementwise(folder)
    pools(folder)
    exported(folder)
    storage(folder)
