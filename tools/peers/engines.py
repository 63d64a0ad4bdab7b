"""Inference engines behind one interface: prepare(...) returns a function that runs one inference and returns the outputs.

Each takes the network's name, its ONNX file, an input batch, the number of threads and the precision, float32 or int8 (then the file is
a quantized one), computes on the CPU, and raises Unavailable when the engine is not installed or does not take such a batch or precision.

What can be prepared once is, for everybody: inputs and outputs are bound where the engine can (Python between two runs is cold, and takes up to a tenth
of the smallest networks' time).
"""

from __future__ import annotations

import ctypes
import importlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

import peer_networks

Inference = Callable[[], np.ndarray]


class Unavailable(Exception):
    """Why an engine does not take part."""


def module(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"{name} is not installed") from error


def konv(name: str, onnx: Path, x: np.ndarray, threads: int, library: Path, precision: str) -> Inference:
    model_file = onnx.with_suffix(".konv")
    lib = ctypes.CDLL(str(library))
    lib.konv_last_error.restype = ctypes.c_char_p
    lib.konv_model_load.restype = lib.konv_session_create.restype = ctypes.c_void_p
    lib.konv_model_load.argtypes = [ctypes.c_char_p]
    lib.konv_session_create.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.konv_session_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    lib.konv_session_output.restype = ctypes.c_void_p
    lib.konv_session_output.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    model = lib.konv_model_load(str(model_file).encode())
    session = lib.konv_session_create(model, threads) if model else None
    if not session:
        raise RuntimeError(lib.konv_last_error().decode())
    dims = (ctypes.c_int64 * x.ndim)(*x.shape)
    count = ctypes.c_size_t()
    arguments = [ctypes.c_void_p(session), ctypes.c_void_p(x.ctypes.data), dims, ctypes.c_size_t(x.ndim)]
    output_arguments = [arguments[0], ctypes.c_size_t(0), ctypes.byref(count)]
    address, view = None, np.empty(0)

    def run() -> np.ndarray:
        nonlocal address, view
        if lib.konv_session_run(*arguments) != 0:
            raise RuntimeError(lib.konv_last_error().decode())
        output = lib.konv_session_output(*output_arguments)
        if output != address:
            address, view = output, np.ctypeslib.as_array(ctypes.cast(output, ctypes.POINTER(ctypes.c_float)), (count.value,))
        return view

    return run


def onnxruntime(name: str, onnx: Path, x: np.ndarray, threads: int, library: Path, precision: str) -> Inference:
    ort = module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    name_in, name_out = session.get_inputs()[0].name, session.get_outputs()[0].name
    output = ort.OrtValue.ortvalue_from_numpy(session.run([name_out], {name_in: x})[0])
    binding = session.io_binding()
    binding.bind_cpu_input(name_in, x)
    binding.bind_ortvalue_output(name_out, output)

    def run() -> np.ndarray:
        session.run_with_iobinding(binding)
        return output.numpy()

    return run


def openvino(name: str, onnx: Path, x: np.ndarray, threads: int, library: Path, precision: str) -> Inference:
    ov = module("openvino")
    core = ov.Core()
    model = core.read_model(str(onnx))
    model.reshape(list(x.shape))
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    if precision == "float32":
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    tensor = ov.Tensor(x, shared_memory=True)
    request.set_input_tensor(tensor)
    request.infer()
    output = request.get_output_tensor()

    def run() -> np.ndarray:
        request.infer()
        return output.data

    return run


def in_int8(model, data):
    """The module with PyTorch's integer layers (weights per channel), calibrated by the input itself: accuracy is not compared."""
    quantization = module("torch.ao.quantization")
    graphs = module("torch.ao.quantization.quantize_fx")
    prepared = graphs.prepare_fx(model, quantization.get_default_qconfig_mapping("x86"), (data,))
    prepared(data)
    return graphs.convert_fx(prepared)


def torch(name: str, onnx: Path, x: np.ndarray, threads: int, library: Path, precision: str) -> Inference:
    pytorch = module("torch")
    pytorch.set_num_threads(threads)
    model = peer_networks.build(name).to(memory_format=pytorch.channels_last)
    data = pytorch.from_numpy(x).contiguous(memory_format=pytorch.channels_last)
    if precision == "int8":
        model = in_int8(model, data)
    with pytorch.no_grad():
        frozen = pytorch.jit.optimize_for_inference(pytorch.jit.freeze(pytorch.jit.trace(model, data)))

    def run() -> np.ndarray:
        with pytorch.inference_mode():
            return frozen(data).numpy()

    return run


def every_second_pixel(param: str) -> str:
    """ncnn has no slice with a step: the shortcuts of ResNet-20, x[:, :, ::2, ::2], become a pooling of 1x1 windows two apart, which is the same."""
    pooling = "0=0 1=1 2=2 5=1"
    return re.sub(r"^Tensor\.slice( +\S+ +1 1 \S+ \S+).*$", rf"Pooling     \1 {pooling}", param, flags=re.MULTILINE)


def ncnn(name: str, onnx: Path, x: np.ndarray, threads: int, library: Path, precision: str) -> Inference:
    engine, converter = module("ncnn"), module("pnnx")
    if len(x) != 1:
        raise Unavailable("ncnn runs one image at a time")
    if precision != "float32":
        raise Unavailable("ncnn has a format of its own for integers")
    pytorch = module("torch")
    script = onnx.parent / f"{name}.pt"
    param, weights = onnx.parent / f"{name}.ncnn.param", onnx.parent / f"{name}.ncnn.bin"
    if not param.exists():
        converter.export(peer_networks.build(name), str(script), pytorch.from_numpy(x), fp16=False)
        param.write_text(every_second_pixel(param.read_text()))
    net = engine.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    net.load_param(str(param))
    net.load_model(str(weights))
    mat = engine.Mat(x[0])

    def run() -> np.ndarray:
        extractor = net.create_extractor()
        extractor.input("in0", mat)
        return np.array(extractor.extract("out0")[1])

    return run


ENGINES = {"konv": konv, "onnxruntime": onnxruntime, "openvino": openvino, "torch": torch, "ncnn": ncnn}
