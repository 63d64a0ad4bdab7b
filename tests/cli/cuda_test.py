#!/usr/bin/env python3
"""The command line and GPUs that are not here: usage: cuda_test.py KONV SOURCE_DIR [PLUGIN]

Plans and predictions work on every machine. What depends on a driver is tested where there is none; with a GPU those lines are skipped and said so.
PLUGIN is libkonv_cuda.so where this build has one."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

KONV, SOURCE = sys.argv[1], sys.argv[2]
PLUGIN = sys.argv[3] if len(sys.argv) > 3 else None


def konv(*arguments, status=0, program=KONV):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{arguments}: exit status {done.returncode}, expected {status}\n{done.stdout}{done.stderr}"
    return done


def error_of(*arguments, status=1, program=KONV):
    text = konv(*arguments, status=status, program=program).stderr.strip().splitlines()[-1]
    assert text.startswith("konv: error: "), text
    return text


def check_plans(folder):
    model = f"{folder}/resnet20.konv"
    konv("convert", f"{SOURCE}/models/weights/resnet20.safetensors", "--arch", "resnet20", "-o", f"{folder}/found.konv")
    konv("optimize", f"{folder}/found.konv", "-o", model)
    for precision, kernel in (("float16", "conv_halo_f16_c16"), ("tf32", "conv_gemm_tf32"), ("float32", "conv_gemm_f32")):
        plan = json.loads(konv("inspect", model, "--plan", "--device", "cuda:h200", "--precision", precision, "--json").stdout)["plan"]
        assert plan["device"] == "cuda:h200"
        kernels = [step["kernel"] for step in plan["steps"]]
        assert any(name.startswith(kernel) for name in kernels), (precision, kernels)
        assert all(step["cost"] > 0 for step in plan["steps"])
        refused = [c for step in plan["steps"] for c in step["candidates"] if c["refused"]]
        assert refused and all(len(c["refused"]) > 3 for c in refused)
    # The classifier is a 1x1 convolution of one pixel to every library there is.
    last = {c["kernel"]: c["refused"] for c in plan["steps"][-2]["candidates"]}
    assert last["conv_cublaslt_f32"] == "" and last["conv_cublas_f32"] == "", last
    refused = {c["kernel"]: c["refused"] for c in plan["steps"][1]["candidates"]}
    assert refused["conv_cublaslt_f32"] == "kernel is not 1x1 with stride 1", refused
    assert "device cuda:a100, arena" in konv("inspect", model, "--plan", "--device", "cuda:a100").stdout
    assert "expected auto, cpu, cuda, cuda:N, or for plans and predictions cuda:h200" in error_of("inspect", model, "--plan", "--device", "cuda:none")
    assert "no CUDA kernel computes in it" in error_of("inspect", model, "--plan", "--device", "cuda:h200", "--precision", "bfloat16")
    assert "--memory-limit 1000: the network takes" in error_of("inspect", model, "--plan", "--device", "cuda:h200", "--memory-limit", "1000")
    assert "--tune, --plan-file: choose among kernels of the CPU" in error_of("inspect", model, "--plan", "--device", "cuda:h200", "--tune", "quick")
    assert "--tune, --plan-file: choose among kernels of the CPU" in error_of("bench", model, "--device", "cuda:h200", "--tune", "quick")
    assert "--fallback: gpu not in {cpu}" in error_of("inspect", model, "--plan", "--device", "cuda:h200", "--fallback", "gpu", status=2)
    assert "describes a GPU for plans" in error_of("run", model, f"{SOURCE}/models/samples/cat.png", "--device", "cuda:h200")
    return model


def check_fallback(folder):
    """A node without a kernel is named, and becomes a step on the CPU where that was asked for."""
    sys.path.append(os.environ.get("KONV_PYTHON") or os.path.expanduser("~/.cache/konv/python"))
    try:
        import numpy as np
        import onnx
    except ImportError as missing:
        print(f"konv: skipped --fallback: {missing}; expected the Python package onnx (tools/setup --dev)")
        return
    weight = onnx.numpy_helper.from_array(np.ones((4, 4, 2, 2), np.float32), "weight")
    node = onnx.helper.make_node("ConvTranspose", ["x", "weight"], ["y"], "up", strides=[2, 2])
    value = lambda name, size: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4, size, size])
    graph = onnx.helper.make_graph([node], "g", [value("x", 8)], [value("y", 16)], [weight])
    model = f"{folder}/up.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), model)
    plan = ["inspect", model, "--plan", "--device", "cuda:h200", "--precision", "float16"]
    message = "konv: error: one node without a CUDA kernel: node 'up' (ConvTranspose): no kernel for this operator; expected --fallback cpu or --device cpu"
    assert error_of(*plan) == message, error_of(*plan)
    steps = json.loads(konv(*plan, "--fallback", "cpu", "--json").stdout)["plan"]["steps"]
    assert [(step["name"], step["kernel"]) for step in steps if step["op"] != "Reorder"] == [("up", "cpu")], steps


def check_predictions():
    layer = ["bench-conv", "--input", "4,64,128,128", "--filter", "128,3,3", "--pad", "1", "--dtype", "float16", "--device", "cuda:h200", "--predict"]
    dense = json.loads(konv(*layer, "--json").stdout)
    half = json.loads(konv(*layer, "--k-sparsity", "0.5", "--json").stdout)
    best = [p for p in dense if not p["refused"] and p["chosen"]]
    assert len(best) == 1 and best[0]["predicted_us"] >= best[0]["roofline_us"] > 0
    # 9.66 GFLOP by instructions of 4096 each
    assert best[0]["mma"] == 4 * 128 * 128 * 128 * 64 * 9 // 2048
    mma = {p["algorithm"]: p["mma"] for p in half if not p["refused"]}
    assert mma[best[0]["algorithm"]] * 2 == best[0]["mma"]
    # 512 pixels of 64 channels to 64: nothing but the bytes moves; a library is one of those asked.
    point = ["bench-conv", "--input", "1,64,32,16", "--filter", "64,1,1", "--dtype", "float16", "--device", "cuda:h200", "--predict"]
    by_name = {p["algorithm"]: p for p in json.loads(konv(*point, "--json").stdout)}
    assert not by_name["conv_cublaslt_f16"]["refused"] and by_name["conv_cublaslt_f16"]["predicted_us"] < by_name["conv_cublas_f16"]["predicted_us"]
    assert next(p for p in dense if p["algorithm"] == "conv_cublaslt_f16")["refused"] == "kernel is not 1x1 with stride 1"
    assert "conv_gemm_f16_128x128" in konv(*layer).stdout
    assert "describes a GPU; expected --predict" in error_of(*layer[:-1])
    assert "expected a share from 0 up to 1" in error_of(*layer, "--k-sparsity", "1")
    assert "there is none of this name" in error_of(*layer, "--algorithm", "nothing")
    assert "is for GPUs" in error_of("bench-conv", "--input", "1,3,8,8", "--filter", "4,3,3", "--predict")


def check_without_device(model):
    listed = json.loads(konv("devices", "--json").stdout)
    if any(d["device"].startswith("cuda:") for d in listed["devices"]):
        print("konv: skipped what a machine without a GPU says: this one has a GPU")
        return False
    why = listed["cuda"]
    assert konv("devices").stdout.splitlines()[-1] == f"cuda: {why}"
    assert why in ("no CUDA driver on this machine", "the CUDA driver sees no device") or why.startswith("no CUDA plug-in: "), why
    image = f"{SOURCE}/models/samples/cat.png"
    message = error_of("run", model, image, "--device", "cuda")
    assert message == f"konv: error: --device cuda: {why}; expected a machine with an NVIDIA GPU, its driver and a build with CUDA, or --device cpu", message
    assert why in error_of("run", model, image, "--device", "cuda:1")
    assert json.loads(konv("bench", model, "--iterations", "1", "--json").stdout)["device"] == "cpu"  # auto
    assert "no kernel of the CPU computes in it" in error_of("run", model, image, "--precision", "float16")
    return True


def check_plugin_folder(folder, model):
    """The plug-in is taken from beside the program, never from the working directory, and only if it is of the same build."""
    alone = f"{folder}/bin"
    os.makedirs(alone)
    program = shutil.copy(KONV, alone)
    os.makedirs(f"{folder}/elsewhere")
    shutil.copy(PLUGIN, f"{folder}/elsewhere")
    done = subprocess.run([program, "devices", "--json"], cwd=f"{folder}/elsewhere", capture_output=True, text=True, check=True)
    assert "is not beside libkonv" in json.loads(done.stdout)["cuda"]
    shutil.copy(PLUGIN, alone)
    assert "is not beside libkonv" not in json.loads(konv("devices", "--json", program=program).stdout)["cuda"]
    with open(f"{alone}/libkonv_cuda.so", "wb") as file:
        file.write(b"this is no library")
    assert "no CUDA plug-in: " in error_of("run", model, f"{SOURCE}/models/samples/cat.png", "--device", "cuda", program=program)
    with open(PLUGIN, "rb") as file:
        contents = file.read()
    build = json.loads(konv("devices", "--json", program=program).stdout) and contents.find(b"0.1.0-")
    assert build > 0
    with open(f"{alone}/libkonv_cuda.so", "wb") as file:
        file.write(contents[:build] + b"9.9.9-" + contents[build + 6:])
    assert "is of build 9.9.9-" in error_of("run", model, f"{SOURCE}/models/samples/cat.png", "--device", "cuda", program=program)
    names = subprocess.run(["nm", "-D", "--defined-only", PLUGIN], capture_output=True, text=True, check=True).stdout.split()
    assert [n for n in names if len(n) > 1 and not n.isalnum()] == ["konv_cuda_get_table"], names


def check_gpu_check(folder, without_device):
    """tools/gpu-check over programs that pretend: what fails is remembered, and the report is written. Without a device it is one line."""
    binaries = f"{folder}/binaries"
    os.makedirs(f"{binaries}/models/weights")

    def write(name, script):
        with open(f"{binaries}/{name}", "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(f"{binaries}/{name}", 0o755)

    def check(status):
        command = [f"{SOURCE}/tools/gpu-check", "--binaries", binaries, "--output", f"{folder}/report"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status, (done.stdout, done.stderr)
        return done

    write("libkonv_cuda.so", "")
    write("test_gpu", "echo tested")
    write("konv", 'case "$1" in devices) echo \'{"devices": [{"device": "cuda:0"}]}\' ;; *) echo "$@" ;; esac')
    check(0)
    report = open(f"{folder}/report/report.md", encoding="utf-8").read().splitlines()
    assert report[0].startswith("# konv on ") and report[-1] == "gpu-check: all that ran is right", report
    assert "## kernels and networks on the device" in report and "tested" in report and "## resnet20 batch 1024 tf32" in report, report
    write("test_gpu", "echo wrong; exit 3")
    report = check(1).stdout.splitlines()
    assert report[-1] == "gpu-check: something failed; see above" and "wrong" in report, report
    if without_device:
        shutil.copy(KONV, f"{binaries}/konv")
        done = check(1)
        assert done.stdout == "" and len(done.stderr.splitlines()) == 1 and done.stderr.startswith("gpu-check: error: no CUDA "), done.stderr


with tempfile.TemporaryDirectory() as scratch:
    resnet = check_plans(scratch)
    check_predictions()
    check_fallback(scratch)
    no_device = check_without_device(resnet)
    check_gpu_check(scratch, no_device)
    if PLUGIN:
        check_plugin_folder(scratch, resnet)
    else:
        print("konv: skipped the plug-in's part: this build has none")
print("ok")
