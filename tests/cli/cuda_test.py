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
    assert "device cuda:a100, arena" in konv("inspect", model, "--plan", "--device", "cuda:a100").stdout
    assert "expected auto, cpu, cuda, cuda:N, or for plans and predictions cuda:h200" in error_of("inspect", model, "--plan", "--device", "cuda:none")
    assert "no CUDA kernel computes in it" in error_of("inspect", model, "--plan", "--device", "cuda:h200", "--precision", "bfloat16")
    assert "--memory-limit 1000: the network takes" in error_of("inspect", model, "--plan", "--device", "cuda:h200", "--memory-limit", "1000")
    assert "describes a GPU for plans" in error_of("run", model, f"{SOURCE}/models/samples/cat.png", "--device", "cuda:h200")
    return model


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
    assert "expected a share from 0 up to 1" in error_of(*layer, "--k-sparsity", "1")
    assert "there is none of this name" in error_of(*layer, "--algorithm", "nothing")
    assert "is for GPUs" in error_of("bench-conv", "--input", "1,3,8,8", "--filter", "4,3,3", "--predict")


def check_without_device(model):
    listed = json.loads(konv("devices", "--json").stdout)
    if any(d["device"].startswith("cuda:") for d in listed["devices"]):
        print("konv: skipped what a machine without a GPU says: this one has a GPU")
        return
    why = listed["cuda"]
    assert why in ("no CUDA driver on this machine", "the CUDA driver sees no device") or why.startswith("no CUDA plug-in: "), why
    image = f"{SOURCE}/models/samples/cat.png"
    message = error_of("run", model, image, "--device", "cuda")
    assert message == f"konv: error: --device cuda: {why}; expected a machine with an NVIDIA GPU, its driver and a build with CUDA, or --device cpu", message
    assert why in error_of("run", model, image, "--device", "cuda:1")
    assert json.loads(konv("bench", model, "--iterations", "1", "--json").stdout)["device"] == "cpu"  # auto
    assert "no kernel of the CPU computes in it" in error_of("run", model, image, "--precision", "float16")


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


with tempfile.TemporaryDirectory() as scratch:
    resnet = check_plans(scratch)
    check_predictions()
    check_without_device(resnet)
    if PLUGIN:
        check_plugin_folder(scratch, resnet)
    else:
        print("konv: skipped the plug-in's part: this build has none")
print("ok")
