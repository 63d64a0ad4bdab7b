#!/usr/bin/env python3
"""Well-known architectures against ONNX Runtime: architectures_test.py PROGRAM SOURCE_FOLDER [NAME...] [--full].

Makes each network of models/onnx/make_networks.py with random weights, at its smallest size (--full: at the published one), and compares on random input, all
by max|a - b| / max(1, max|b|), ONNX Runtime on the original file in b's place:

  found      the converted model as it was found
  optimized  after the default passes
  exported   the export of either, run by ONNX Runtime
  batch      as found at batch 2, each image on its own in b's place (another shape through the same model)

Then one model of open height and width at several sizes, sizes that cannot be, and `konv compare --per-layer` on a model with one weight changed: it has to
name the layer.

Exit status 0: all differences are at most 1e-4; 1: some is not; 77: onnx, numpy or onnxruntime is not installed.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.append(os.environ.get("KONV_PYTHON") or os.path.expanduser("~/.cache/konv/python"))  # where tools/setup --dev puts packages
try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as missing:
    print(f"konv: skipped: {missing}; expected the Python packages onnx, numpy and onnxruntime (tools/setup --dev)")
    sys.exit(77)

LIMIT = 1e-4


def difference(a, b):
    return float(np.max(np.abs(a.astype(np.float64) - b)) / max(1.0, float(np.max(np.abs(b))))) if a.shape == b.shape else float("inf")


class Bench:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def konv(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"architectures_test: error: konv {arguments[0]}: {done.stderr.strip()}")

    def run(self, model, x):
        np.save(self.folder / "input.npy", x)
        self.konv("run", model, f"input={self.folder / 'input.npy'}", "--output-dir", self.folder / "out", "--quiet")
        (file,) = (self.folder / "out").iterdir()
        y = np.load(file)
        file.unlink()
        return y

    def peer(self, model, x):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0]


def check_open_sizes(program, networks):
    failed = 0
    for name in ["resnet18", "fpn", "unet"]:
        with tempfile.TemporaryDirectory() as temporary:
            bench = Bench(program, pathlib.Path(temporary))
            onnx.save(networks.make(name, 32, open_size=True), bench.folder / "open.onnx")
            bench.konv("convert", bench.folder / "open.onnx", "-o", bench.folder / "open.konv")
            worst = 0
            for shape in [(1, 3, 32, 32), (2, 3, 64, 32), (1, 3, 32, 96)]:
                x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
                worst = max(worst, difference(bench.run(bench.folder / "open.konv", x), bench.peer(bench.folder / "open.onnx", x)))
            print(f"{name} at three sizes: {worst:.1e}", flush=True)
            failed += not worst <= LIMIT
            if name == "unet":  # 40 is no multiple of 16: the way up does not meet the way down
                np.save(bench.folder / "odd.npy", np.zeros((1, 3, 40, 40), np.float32))
                done = subprocess.run([program, "run", bench.folder / "open.konv", f"input={bench.folder / 'odd.npy'}"], capture_output=True, text=True)
                line = done.stderr.strip().splitlines()[-1]
                print(f"unet at 40x40: {line}")
                failed += done.returncode != 1 or "konv: error: node 'Concat_" not in line or "expected equal sizes" not in line
    return failed


def check_per_layer(program, networks):
    """The first value that differs is the one behind the weight that was changed, in the graph as found against the optimized one."""
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(program, pathlib.Path(temporary))
        model = networks.make("resnet18", 32)
        onnx.save(model, bench.folder / "original.onnx")
        changed_node = [n for n in model.graph.node if n.op_type == "Conv"][10]
        behind = changed_node.output[0]
        results = []
        for changed in [False, True]:
            if changed:
                weight = next(t for t in model.graph.initializer if t.name == changed_node.input[1])
                array = onnx.numpy_helper.to_array(weight).copy()
                array[0] += 0.5
                weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
            onnx.save(model, bench.folder / "other.onnx")
            bench.konv("convert", bench.folder / "other.onnx", "-o", bench.folder / "found.konv")
            bench.konv("optimize", bench.folder / "found.konv", "-o", bench.folder / "other.konv", "--quiet")
            command = [program, "compare", bench.folder / "original.onnx", bench.folder / "other.konv", "--per-layer", "--iterations", "1", "--json", "--quiet"]
            report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            results.append((report["first_difference"], len(report["layers"])))
        order = [o for n in model.graph.node for o in n.output]
        print(f"compare --per-layer: {results[0][1]} values both have; first difference {results[0][0]}, with the weight of '{behind}' changed {results[1][0]}", flush=True)
        near = results[1][0] is not None and 0 <= order.index(results[1][0]) - order.index(behind) <= 2  # the norm and the activation behind it
        return (results[0][0] is not None) + (not near) + (results[0][1] < 15)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    spec = importlib.util.spec_from_file_location("make_networks", options.source / "models" / "onnx" / "make_networks.py")
    networks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(networks)

    failed = 0 if options.names else check_open_sizes(options.program, networks) + check_per_layer(options.program, networks)
    for name in options.names or networks.NETWORKS:
        _, full, small = networks.NETWORKS[name]
        size = full if options.full else small
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            bench = Bench(options.program, folder)
            onnx.save(networks.make(name, size, 1, 18), folder / "original.onnx")
            x = np.random.default_rng(7).standard_normal((2, 3, size, size)).astype(np.float32)
            expected = bench.peer(folder / "original.onnx", x[:1])
            bench.konv("convert", folder / "original.onnx", "-o", folder / "found.konv")
            bench.konv("optimize", folder / "found.konv", "-o", folder / "optimized.konv", "--quiet")
            differences = {}
            for form in ["found", "optimized"]:
                differences[form] = difference(bench.run(folder / f"{form}.konv", x[:1]), expected)
                bench.konv("export", folder / f"{form}.konv", "-o", folder / f"{form}.onnx")
                differences[f"exported {form}"] = difference(bench.peer(folder / f"{form}.onnx", x[:1]), expected)
            both, second = bench.run(folder / "found.konv", x), bench.run(folder / "found.konv", x[1:])
            differences["batch"] = max(difference(both[1:], second), difference(both[:1], expected))
            nodes = [len(onnx.load(folder / f"{form}.onnx", load_external_data=False).graph.node) for form in ["original", "optimized"]]
            wrong = [form for form, d in differences.items() if not d <= LIMIT]
            failed += bool(wrong)
            figures = ", ".join(f"{form} {d:.1e}" for form, d in differences.items())
            print(f"{name} {size}x{size}: {figures}; {nodes[0]} nodes, optimized {nodes[1]}" + (f"  FAILED: {', '.join(wrong)}" if wrong else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
