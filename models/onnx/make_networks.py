#!/usr/bin/env python3
"""Well-known architectures as ONNX files with random weights: make_networks.py -o FOLDER [NAME...] [--size PIXELS] [--open-size] [--seed N] [--opset N].

The layers, their sizes and their order are the published ones; weights are random (He et al. 2015) and batch norms near the identity, so that numbers stay in
range through any depth. The same name, size, seed and opset give the same file. Needs the Python packages onnx and numpy.
"""

import argparse
import math
import pathlib
import sys
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Network:
    """A graph under construction. Layers take and return names of values; `channels` knows how many channels a value has."""

    def __init__(self, name, size, seed, open_size=False):
        self.name, self.size = name, size
        self.spatial = ["H", "W"] if open_size else [size, size]
        self.random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        self.nodes, self.constants, self.channels, self.count = [], [], {"input": 3}, 0

    def add(self, op, inputs, channels=None, **attributes):
        self.count += 1
        output = f"{op.lower()}_{self.count}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"{op}_{self.count}", **attributes))
        self.channels[output] = self.channels[inputs[0]] if channels is None else channels
        return output

    def constant(self, array, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype=dtype), name))
        return name

    def conv(self, x, out, kernel=1, stride=1, pad=None, groups=1, dilation=1, bias=False):
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        pad = tuple(k // 2 * dilation for k in kernel) if pad is None else (pad, pad) if isinstance(pad, int) else pad
        shape = (out, self.channels[x] // groups, *kernel)
        deviation = math.sqrt(2 / np.prod(shape[1:]))
        inputs = [x, self.constant(self.random.normal(0, deviation, shape))]
        if bias:
            inputs.append(self.constant(self.random.normal(0, 0.05, out)))
        return self.add("Conv", inputs, out, kernel_shape=kernel, strides=[stride] * 2, pads=[*pad, *pad], group=groups, dilations=[dilation] * 2)

    def norm(self, x):
        c = self.channels[x]
        parameters = [self.random.uniform(0.8, 1.2, c), self.random.normal(0, 0.05, c), self.random.normal(0, 0.05, c), self.random.uniform(0.8, 1.2, c)]
        return self.add("BatchNormalization", [x, *[self.constant(p) for p in parameters]], epsilon=1e-5)

    def relu(self, x):
        return self.add("Relu", [x])

    def relu6(self, x):
        return self.add("Clip", [x, self.constant(0.0), self.constant(6.0)])

    def hard_swish(self, x):
        """As exporters before opset 14 write it."""
        return self.add("Div", [self.add("Mul", [x, self.relu6(self.add("Add", [x, self.constant(3.0)]))]), self.constant(6.0)])

    def silu(self, x):
        return self.add("Mul", [x, self.add("Sigmoid", [x])])

    def sum(self, a, b):
        return self.add("Add", [a, b])

    def concat(self, *parts):
        return self.add("Concat", parts, sum(self.channels[p] for p in parts), axis=1)

    def max_pool(self, x, kernel=3, stride=2, pad=1, ceil=0):
        return self.add("MaxPool", [x], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, ceil_mode=ceil)

    def average_pool(self, x, kernel, stride, pad=0):
        return self.add("AveragePool", [x], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, count_include_pad=1)

    def conv_norm(self, x, out, kernel=1, stride=1, act="relu", **more):
        y = self.norm(self.conv(x, out, kernel, stride, **more))
        return getattr(self, act)(y) if act else y

    def mean(self, x):
        return self.add("ReduceMean", [x, self.constant([2, 3], np.int64)], keepdims=1)

    def classify(self, x, classes=1000):
        y = self.add("Flatten", [self.add("GlobalAveragePool", [x])], axis=1)
        return self.linear(y, classes)

    def linear(self, x, out):
        weight = self.constant(self.random.normal(0, math.sqrt(1 / self.channels[x]), (out, self.channels[x])))
        return self.add("Gemm", [x, weight, self.constant(self.random.normal(0, 0.05, out))], out, transB=1)

    def resize(self, x, mode="linear"):
        more = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"} if mode == "nearest" else {}
        return self.add("Resize", [x, "", self.constant([1, 1, 2, 2])], mode=mode, **more)

    def model(self, output, opset):
        image = ["N", self.channels[output], *self.spatial]
        shape = image if self.name in SEGMENTATION else image[:2]
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, *self.spatial])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="make_networks.py")
        model.ir_version = min(model.ir_version, 10)
        onnx.checker.check_model(model)
        return model


def resnet(n, blocks, bottleneck, width=64, groups=1):
    x = n.max_pool(n.conv_norm("input", 64, 7, 2))
    for stage, count in enumerate(blocks):
        out, inner = 64 << stage, width << stage
        for i in range(count):
            stride = 2 if stage and not i else 1
            final = 4 * out if bottleneck else out
            if bottleneck:
                y = n.conv_norm(n.conv_norm(x, inner), inner, 3, stride, groups=groups)
                y = n.conv_norm(y, final, act=None)
            else:
                y = n.conv_norm(n.conv_norm(x, out, 3, stride), out, 3, act=None)
            shortcut = x if stride == 1 and n.channels[x] == final else n.conv_norm(x, final, 1, stride, act=None)
            x = n.relu(n.sum(y, shortcut))
    return x


def resnet18(n):
    return n.classify(resnet(n, [2, 2, 2, 2], False))


def resnet50(n):
    return n.classify(resnet(n, [3, 4, 6, 3], True))


def resnext50(n):
    return n.classify(resnet(n, [3, 4, 6, 3], True, 128, 32))


def inverted(n, x, expand, out, kernel, stride, act, squeeze=None, gate="hard_sigmoid"):
    """An inverted residual block (Sandler et al. 2018), with squeeze and excitation where `squeeze` channels are given."""
    y = n.conv_norm(x, expand, act=act) if expand != n.channels[x] else x
    y = n.conv_norm(y, expand, kernel, stride, groups=expand, act=act)
    if squeeze:
        s = n.conv(n.mean(y), squeeze, bias=True)
        s = n.conv(n.relu(s) if gate == "hard_sigmoid" else n.silu(s), expand, bias=True)
        s = n.add("HardSigmoid", [s], alpha=1 / 6, beta=0.5) if gate == "hard_sigmoid" else n.add("Sigmoid", [s])
        y = n.add("Mul", [y, s])
    y = n.conv_norm(y, out, act=None)
    return n.sum(x, y) if stride == 1 and n.channels[x] == out else y


def mobilenet_v2(n):
    x = n.conv_norm("input", 32, 3, 2, act="relu6")
    for t, c, count, s in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
        for i in range(count):
            x = inverted(n, x, n.channels[x] * t, c, 3, 1 if i else s, "relu6")
    return n.classify(n.conv_norm(x, 1280, act="relu6"))


def mobilenet_v3(n):
    x = n.conv_norm("input", 16, 3, 2, act="hard_swish")
    rows = [(3, 16, 16, 0, "relu", 1), (3, 64, 24, 0, "relu", 2), (3, 72, 24, 0, "relu", 1), (5, 72, 40, 24, "relu", 2),
            (5, 120, 40, 32, "relu", 1), (5, 120, 40, 32, "relu", 1), (3, 240, 80, 0, "hard_swish", 2), (3, 200, 80, 0, "hard_swish", 1),
            (3, 184, 80, 0, "hard_swish", 1), (3, 184, 80, 0, "hard_swish", 1), (3, 480, 112, 120, "hard_swish", 1),
            (3, 672, 112, 168, "hard_swish", 1), (5, 672, 160, 168, "hard_swish", 2), (5, 960, 160, 240, "hard_swish", 1),
            (5, 960, 160, 240, "hard_swish", 1)]  # fmt: skip
    for kernel, expand, out, squeeze, act, stride in rows:
        x = inverted(n, x, expand, out, kernel, stride, act, squeeze)
    x = n.add("Flatten", [n.mean(n.conv_norm(x, 960, act="hard_swish"))], axis=1)
    return n.linear(n.hard_swish(n.linear(x, 1280)), 1000)


def efficientnet_b0(n):
    x = n.conv_norm("input", 32, 3, 2, act="silu")
    for t, c, count, s, k in [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]:
        for i in range(count):
            x = inverted(n, x, n.channels[x] * t, c, k, 1 if i else s, "silu", n.channels[x] // 4, "sigmoid")
    return n.classify(n.conv_norm(x, 1280, act="silu"))


def squeezenet(n):
    def fire(x, squeeze, expand):
        s = n.relu(n.conv(x, squeeze, bias=True))
        return n.concat(n.relu(n.conv(s, expand, bias=True)), n.relu(n.conv(s, expand, 3, bias=True)))

    x = n.max_pool(n.relu(n.conv("input", 64, 3, 2, pad=0, bias=True)), pad=0, ceil=1)
    x = n.max_pool(fire(fire(x, 16, 64), 16, 64), pad=0, ceil=1)
    x = n.max_pool(fire(fire(x, 32, 128), 32, 128), pad=0, ceil=1)
    for squeeze, expand in [(48, 192), (48, 192), (64, 256), (64, 256)]:
        x = fire(x, squeeze, expand)
    x = n.add("Dropout", [x])
    return n.add("Flatten", [n.add("GlobalAveragePool", [n.relu(n.conv(x, 1000, bias=True))])], axis=1)


def shufflenet_v2(n):
    def shuffle(x, height, width):
        c = n.channels[x]
        y = n.add("Reshape", [x, n.constant([-1, 2, c // 2, height, width], np.int64)])
        y = n.add("Transpose", [y], perm=[0, 2, 1, 3, 4])
        return n.add("Reshape", [y, n.constant([-1, c, height, width], np.int64)], c)

    x = n.max_pool(n.conv_norm("input", 24, 3, 2))
    size = math.ceil(math.ceil(n.size / 2) / 2)
    for out, count in [(116, 4), (232, 8), (464, 4)]:
        size = math.ceil(size / 2)
        half = out // 2
        for i in range(count):
            if i:
                n.count += 1
                left, right = f"left_{n.count}", f"right_{n.count}"
                n.nodes.append(helper.make_node("Split", [x, n.constant([half, half], np.int64)], [left, right], name=f"Split_{n.count}", axis=1))
                n.channels[left] = n.channels[right] = half
            else:
                left = n.conv_norm(n.conv_norm(x, n.channels[x], 3, 2, act=None, groups=n.channels[x]), half)
                right = x
            y = n.conv_norm(right, half)
            y = n.conv_norm(n.conv_norm(y, half, 3, 1 if i else 2, act=None, groups=half), half)
            x = shuffle(n.concat(left, y), size, size)
    return n.classify(n.conv_norm(x, 1024))


def densenet121(n):
    x = n.max_pool(n.conv_norm("input", 64, 7, 2))
    for stage, count in enumerate([6, 12, 24, 16]):
        for _ in range(count):
            y = n.conv(n.relu(n.norm(x)), 128)
            x = n.concat(x, n.conv(n.relu(n.norm(y)), 32, 3))
        if stage < 3:
            x = n.average_pool(n.conv(n.relu(n.norm(x)), n.channels[x] // 2), 2, 2)
    return n.classify(n.relu(n.norm(x)))


def inception_v3(n):
    c = n.conv_norm
    x = c(c(c("input", 32, 3, 2, pad=0), 32, 3, pad=0), 64, 3)
    x = n.max_pool(c(c(n.max_pool(x, pad=0), 80), 192, 3, pad=0), pad=0)
    for pooled in [32, 64, 64]:
        x = n.concat(c(x, 64), c(c(x, 48), 64, 5), c(c(c(x, 64), 96, 3), 96, 3), c(n.average_pool(x, 3, 1, 1), pooled))
    x = n.concat(c(x, 384, 3, 2, pad=0), c(c(c(x, 64), 96, 3), 96, 3, 2, pad=0), n.max_pool(x, pad=0))
    for w in [128, 160, 160, 192]:
        y = c(c(c(x, w), w, (1, 7)), 192, (7, 1))
        z = c(c(c(c(c(x, w), w, (7, 1)), w, (1, 7)), w, (7, 1)), 192, (1, 7))
        x = n.concat(c(x, 192), y, z, c(n.average_pool(x, 3, 1, 1), 192))
    y = c(c(x, 192), 320, 3, 2, pad=0)
    z = c(c(c(c(x, 192), 192, (1, 7)), 192, (7, 1)), 192, 3, 2, pad=0)
    x = n.concat(y, z, n.max_pool(x, pad=0))
    for _ in range(2):
        y, z = c(x, 384), c(c(x, 448), 384, 3)
        x = n.concat(c(x, 320), c(y, 384, (1, 3)), c(y, 384, (3, 1)), c(z, 384, (1, 3)), c(z, 384, (3, 1)), c(n.average_pool(x, 3, 1, 1), 192))
    return n.classify(x)


def unet(n):
    def double(x, out):
        return n.conv_norm(n.conv_norm(x, out, 3), out, 3)

    x, skips = double("input", 64), []
    for out in [128, 256, 512, 1024]:
        skips.append(x)
        x = double(n.max_pool(x, 2, 2, 0), out)
    for skip in reversed(skips):
        out = n.channels[skip]
        weight = n.constant(n.random.normal(0, math.sqrt(1 / n.channels[x]), (n.channels[x], out, 2, 2)))
        up = n.add("ConvTranspose", [x, weight, n.constant(n.random.normal(0, 0.05, out))], out, kernel_shape=[2, 2], strides=[2, 2])
        x = double(n.concat(skip, up), out)
    return n.conv(x, 2, bias=True)


def fpn(n):
    """A feature pyramid on ResNet-18 with a segmentation head (Kirillov et al. 2019): 21 classes at full size."""
    x, levels = n.max_pool(n.conv_norm("input", 64, 7, 2)), []
    for stage in range(4):
        out = 64 << stage
        for i in range(2):
            stride = 2 if stage and not i else 1
            y = n.conv_norm(n.conv_norm(x, out, 3, stride), out, 3, act=None)
            shortcut = x if stride == 1 and n.channels[x] == out else n.conv_norm(x, out, 1, stride, act=None)
            x = n.relu(n.sum(y, shortcut))
        levels.append(x)
    top = n.conv(levels[3], 128, bias=True)
    heads = [top]
    for level in reversed(levels[:3]):
        top = n.sum(n.conv(level, 128, bias=True), n.resize(top, "nearest"))
        heads.insert(0, top)
    merged = None
    for i, head in enumerate(heads):
        y = n.conv_norm(head, 64, 3)
        for _ in range(i):
            y = n.resize(y)
        merged = y if merged is None else n.sum(merged, y)
    y = n.conv(merged, 21, bias=True)
    return n.resize(n.resize(y))


SEGMENTATION = {"unet", "fpn"}

# name: builder, full size, the smallest size that every layer accepts
NETWORKS = {
    "resnet18": (resnet18, 224, 32),
    "resnet50": (resnet50, 224, 32),
    "resnext50": (resnext50, 224, 32),
    "mobilenet_v2": (mobilenet_v2, 224, 32),
    "mobilenet_v3": (mobilenet_v3, 224, 32),
    "efficientnet_b0": (efficientnet_b0, 224, 32),
    "squeezenet": (squeezenet, 224, 32),
    "shufflenet_v2": (shufflenet_v2, 224, 32),
    "densenet121": (densenet121, 224, 32),
    "inception_v3": (inception_v3, 299, 75),
    "unet": (unet, 256, 32),
    "fpn": (fpn, 256, 32),
}


def make(name, size, seed=1, opset=18, open_size=False):
    """The network as an onnx.ModelProto. `open_size`: height and width are symbols (shufflenet_v2 writes its sizes into reshapes and has none)."""
    if open_size and name == "shufflenet_v2":
        raise ValueError("shufflenet_v2: its reshapes hold sizes; expected a network without")
    network = Network(name, size, seed, open_size)
    return network.model(NETWORKS[name][0](network), opset)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(NETWORKS)}")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, help="the folder to write to")
    parser.add_argument("--size", type=int, help="height and width of the input; 0: the smallest that works; the published one by default")
    parser.add_argument("--open-size", action="store_true", help="height and width are symbols, as the batch always is")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--opset", type=int, default=18)
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NETWORKS]
    if unknown:
        sys.exit(f"make_networks: error: {unknown[0]}: no such network; expected some of {', '.join(NETWORKS)}")
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names or NETWORKS:
        _, full, small = NETWORKS[name]
        size = full if options.size is None else options.size or small
        onnx.save(make(name, size, options.seed, options.opset, options.open_size), options.output / f"{name}.onnx")


if __name__ == "__main__":
    main()
