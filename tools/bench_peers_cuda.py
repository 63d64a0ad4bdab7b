#!/usr/bin/env python3
"""Compare konv with PyTorch on one GPU: eager, channels_last float16, torch.cuda.CUDAGraph, torch.compile.

    tools/bench_peers_cuda.py --konv build/release/konv            # all networks and layers
    tools/bench_peers_cuda.py --networks resnet20 --batches 1,64

Networks run in float16 from the same weights, BatchNorm folded on both sides; layers are the two published ones, the second also with half of K
pruned (konv leaves pruned rows out, PyTorch computes them as zeros). Times are medians on the device: CUDA events around single runs after
warm-up, inputs rotating through buffers that together exceed the L2 cache. konv and its peers take turns. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = {"resnet20": (1, 64, 1024), "repvgg": (1, 64, 1024), "repvgg-unfused": (1, 64, 1024), "resnet50": (1, 64)}
LAYERS = (
    {"name": "2x3x512x640 -> 16, 3x3 stride 2", "input": (2, 3, 512, 640), "out": 16, "stride": 2, "pruned": 0.0},
    {"name": "4x64x128x128 -> 128, 3x3", "input": (4, 64, 128, 128), "out": 128, "stride": 1, "pruned": 0.0},
    {"name": "4x64x128x128 -> 128, 3x3, half of K pruned", "input": (4, 64, 128, 128), "out": 128, "stride": 1, "pruned": 0.5},
)
L2_BYTES = 60 << 20


def fail(message: str) -> None:
    print(f"bench_peers_cuda: error: {message}", file=sys.stderr)
    sys.exit(1)


def milliseconds(torch, run, inputs, seconds: float) -> float:
    """Median over runs, each between two events, inputs in turn."""
    for x in inputs[:3] * 3:
        run(x)
    torch.cuda.synchronize()
    begin, times, i = datetime.datetime.now(), [], 0
    while (datetime.datetime.now() - begin).total_seconds() < seconds or len(times) < 10:
        events = []
        for _ in range(10):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            run(inputs[i % len(inputs)])
            end.record()
            events.append((start, end))
            i += 1
        torch.cuda.synchronize()
        times += [a.elapsed_time(b) for a, b in events]
    return statistics.median(times)


def rotating(torch, shape, dtype, memory_format):
    """Random inputs, cut from one tensor, that together are twice the L2 cache, as konv's arenas are."""
    bytes_each = torch.empty((), dtype=dtype).element_size() * math.prod(shape)
    count = 2 + 2 * L2_BYTES // bytes_each
    whole = torch.randn((count * shape[0], *shape[1:]), device="cuda", dtype=dtype).to(memory_format=memory_format)
    return list(whole.split(shape[0]))


def captured(torch, model, example):
    """The model as a CUDA graph; the input is copied in, as konv's is."""
    static = example.clone()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            model(static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model(static)

    def run(x):
        static.copy_(x)
        graph.replay()

    return run


def torch_rows(torch, model, shape, seconds: float) -> dict[str, float]:
    """Medians in ms per way of running the model."""
    rows = {}
    with torch.inference_mode():
        model = model.cuda().eval()
        plain = rotating(torch, shape, torch.float32, torch.contiguous_format)
        rows["torch eager float32"] = milliseconds(torch, model, plain, seconds)
        del plain
        half = model.half().to(memory_format=torch.channels_last)
        inputs = rotating(torch, shape, torch.float16, torch.channels_last)
        rows["torch channels_last float16"] = milliseconds(torch, half, inputs, seconds)
        rows["torch CUDAGraph float16"] = milliseconds(torch, captured(torch, half, inputs[0]), inputs, seconds)
        rows["torch compile float16"] = milliseconds(torch, torch.compile(half, mode="max-autotune"), inputs, seconds)
    return rows


def konv(program: Path, *arguments: str) -> dict | list:
    done = subprocess.run([program, *arguments, "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{program} failed")
    return json.loads(done.stdout)


def network_module(name: str, networks):
    """The PyTorch module with BatchNorm folded; repvgg-unfused keeps its branches."""
    import torch

    if name == "repvgg-unfused":
        model = networks.networks.load("repvgg", networks.checkpoint.load_weights(ROOT / "models" / "weights" / "repvgg.safetensors")).eval()
    else:
        model = networks.build(name)
    return torch.fx.experimental.optimization.fuse(model.eval()) if name != "repvgg" else model


def bench_network(name: str, batch: int, program: Path, folder: Path, seconds: float, torch, networks) -> dict:
    import torch.fx.experimental.optimization  # noqa: F401, PLC0415

    source = "repvgg" if name == "repvgg-unfused" else name
    onnx = folder / f"{name}.onnx"
    if not onnx.exists():
        if name == "repvgg-unfused":
            networks.export_onnx.export(network_module(name, networks), torch.randn(1, 3, 32, 32), onnx, 17)
        else:
            networks.write_onnx(source, onnx)
        found = folder / f"{name}-found.konv"
        subprocess.run([program, "convert", onnx, "-o", found, "--quiet"], check=True)
        passes = "remove-dead-nodes,remove-identity,fold-constants,fold-batch-norm,fuse-residual,fuse-activation" if name == "repvgg-unfused" else "default"
        subprocess.run([program, "optimize", found, "-o", folder / f"{name}.konv", "--passes", passes, "--quiet"], check=True)
    size = networks.image_size(source)
    report = konv(program, "bench", str(folder / f"{name}.konv"), "--device", "cuda", "--precision", "float16", "--batch", str(batch), "--seconds", str(seconds),
                  "--per-layer")
    # The sum of the layers is device time, as the events of the peers are; the latency holds the copies from and to the host as well.
    rows = {"konv float16, device": sum(layer["median_us"] for layer in report["layers"]) / 1e3, "konv float16, with copies": report["latency_ms"]["median"]}
    rows |= torch_rows(torch, network_module(name, networks), (batch, 3, size, size), seconds)
    return {"what": name, "batch": batch, "median_ms": rows}


def bench_layer(layer: dict, program: Path, seconds: float, torch) -> dict:
    n, c, h, w = layer["input"]
    arguments = ["bench-conv", "--input", f"{n},{c},{h},{w}", "--filter", f"{layer['out']},3,3", "--pad", "1", "--stride", str(layer["stride"]), "--dtype", "float16",
                 "--device", "cuda", "--seconds", str(seconds)]
    if layer["pruned"]:
        arguments += ["--k-sparsity", str(layer["pruned"])]
    reports = [r for r in konv(program, *arguments) if not r["refused"]]
    rows = {f"konv {r['algorithm']}": r["median_us"] / 1e3 for r in reports}
    conv = torch.nn.Sequential(torch.nn.Conv2d(c, layer["out"], 3, stride=layer["stride"], padding=1), torch.nn.ReLU())
    rows |= torch_rows(torch, conv, layer["input"], seconds)
    return {"what": layer["name"], "batch": n, "median_ms": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--konv", type=Path, default=ROOT / "build" / "release" / "konv")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="names separated by commas; empty: none")
    parser.add_argument("--batches", default="", help="default: per network")
    parser.add_argument("--no-layers", action="store_true", help="leave the published layers out")
    parser.add_argument("--seconds", type=float, default=2, help="for each contestant and row")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "peers" / "peers-cuda.json")
    arguments = parser.parse_args()
    names = [name for name in arguments.networks.split(",") if name]
    unknown = sorted(set(names) - set(NETWORKS))
    if unknown:
        parser.error(f"--networks {','.join(unknown)}: expected names of {', '.join(NETWORKS)}")
    if not arguments.konv.exists():
        fail(f"{arguments.konv}: is missing; expected a build with KONV_CUDA=ON")
    try:
        import torch
    except ImportError:
        fail("PyTorch is not installed; expected one with CUDA (pip install torch)")
    if not torch.cuda.is_available():
        fail("PyTorch sees no GPU; expected a machine with one, its driver, and PyTorch built for CUDA")
    sys.path.insert(0, str(ROOT / "tools" / "peers"))
    import peer_networks

    torch.backends.cudnn.benchmark = True
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            batches = [int(b) for b in arguments.batches.split(",")] if arguments.batches else NETWORKS[name]
            for batch in batches:
                rows.append(bench_network(name, batch, arguments.konv, Path(folder), arguments.seconds, torch, peer_networks))
                print(json.dumps(rows[-1]), flush=True)
        for layer in () if arguments.no_layers else LAYERS:
            rows.append(bench_layer(layer, arguments.konv, arguments.seconds, torch))
            print(json.dumps(rows[-1]), flush=True)
    title = f"{torch.cuda.get_device_name(0)}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, {datetime.date.today()}"
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"title": title, "rows": rows}, indent=1))
    print(title)
    for row in rows:
        print(f"\n{row['what']}, batch {row['batch']}")
        for who, ms in sorted(row["median_ms"].items(), key=lambda item: item[1]):
            print(f"  {who:32} {ms:9.4f} ms")


if __name__ == "__main__":
    main()
