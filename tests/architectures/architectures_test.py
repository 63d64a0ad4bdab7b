#!/usr/bin/env python3
"""Well-known architectures against ONNX Runtime: architectures_test.py PROGRAM SOURCE_FOLDER [NAME...] [--full].

Makes each network of models/onnx/make_networks.py with random weights, at its smallest size (--full: at the published one), and compares on random input, all
by max|a - b| / max(1, max|b|), ONNX Runtime on the original file in b's place:

  found      the converted model as it was found
  optimized  after the default passes
  exported   the export of either, run by ONNX Runtime
  batch      as found at batch 2, each image on its own in b's place (another shape through the same model)

Exit status 0: all differences are at most 1e-4; 1: some is not; 77: onnx, numpy or onnxruntime is not installed.
"""

import argparse
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as missing:
    print(f"konv: skipped: {missing}; expected the Python packages onnx, numpy and onnxruntime")
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

    failed = 0
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
