#!/usr/bin/env python3
"""Peak resident memory of one process that loads a network and runs it once at batch 1: peak_memory.py PROGRAM [NAME] [--size PIXELS].

konv runs the optimized model; ONNX Runtime the original file, with its defaults, in a Python process, of which the memory of a process that only imports its
packages is told apart.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.append(os.environ.get("KONV_PYTHON") or os.path.expanduser("~/.cache/konv/python"))  # where tools/setup --dev puts packages
import numpy as np

IMPORTS = "import sys; sys.path[:] = %r; import numpy as np, onnxruntime"
PEER = IMPORTS + "; x = np.load(%r); onnxruntime.InferenceSession(%r, providers=['CPUExecutionProvider']).run(None, {'input': x})"


def peak(command):
    """Kilobytes, from wait4: of this process alone."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"peak_memory: error: {command[0]} ended with status {status}")
    return usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("name", nargs="?", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    source = pathlib.Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        subprocess.run([sys.executable, source / "models/onnx/make_networks.py", options.name, "--size", str(options.size), "-o", folder], check=True)
        original = folder / f"{options.name}.onnx"
        np.save(folder / "x.npy", np.random.default_rng(1).standard_normal((1, 3, options.size, options.size)).astype(np.float32))
        subprocess.run([options.program, "convert", original, "-o", folder / "found.konv"], check=True)
        subprocess.run([options.program, "optimize", folder / "found.konv", "-o", folder / "fast.konv", "--quiet"], check=True)
        konv = peak([options.program, "run", folder / "fast.konv", f"input={folder / 'x.npy'}", "--quiet"])
        from_onnx = peak([options.program, "run", original, f"input={folder / 'x.npy'}", "--quiet"])
        imports = peak([sys.executable, "-c", IMPORTS % sys.path])
        peer = peak([sys.executable, "-c", PEER % (sys.path, str(folder / "x.npy"), str(original))])
    print(f"{options.name} {options.size}x{options.size}, batch 1, peak resident memory in MiB:")
    print(f"  konv run .konv {konv:.0f}, konv run .onnx {from_onnx:.0f}, ONNX Runtime {peer:.0f} ({peer - imports:.0f} above importing it)")


if __name__ == "__main__":
    main()
