#!/usr/bin/env python3
"""The onnx package's backend cases through the command line: run_cases.py PROGRAM [--filter TEXT] [--forms found,optimized,exported] [--list].

Each case made of konv's operators alone is saved as a file, converted (`konv convert`), run (`konv run`) and compared with the outputs that the package
gives, within the case's own tolerances: as found, after the default passes (`konv optimize`), and once more from the file that `konv export` writes. Cases that train, and those that spell an operator as a function of others, are left aside. `skipped.txt` holds the
cases that konv does not run, with a reason each: a case that is in it and passes is a failure, too.

NumPy knows no bfloat16 and no integers of 4 and 2 bits: inputs of these types are put into the model as constants, outputs get a Cast to float32.

Exit status 0: every case passed or is skipped for its reason; 1: some did not; 77: the onnx package is not installed.
"""

import argparse
import concurrent.futures
import fnmatch
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.append(os.environ.get("KONV_PYTHON") or os.path.expanduser("~/.cache/konv/python"))  # where tools/setup --dev puts packages
try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnx.backend.test.case.node import collect_testcases
except ImportError as missing:
    print(f"konv: skipped: {missing}; expected the Python packages onnx and numpy (tools/setup --dev)")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
OPERATORS = set((HERE / "operators.txt").read_text().split())
NOT_IN_NUMPY = {TensorProto.BFLOAT16, TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2}


class Case:
    def __init__(self, name, model, data_sets, rtol, atol):
        self.name, self.model, self.data_sets, self.rtol, self.atol = name, model, data_sets, rtol, atol


def is_tested(name, model):
    return "_expanded" not in name and "training" not in name and all(n.op_type in OPERATORS for n in model.graph.node)


def load_value(path, value):
    """A stored tensor; sequences and optionals, which no case of ours reads, stay unread."""
    if value.type.WhichOneof("value") != "tensor_type":
        return None
    return numpy_helper.to_array(onnx.load_tensor(path))


def stored_cases():
    data = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
    for group in ["pytorch-operator", "pytorch-converted", "simple"]:
        for folder in sorted((data / group).iterdir()):
            model = onnx.load(folder / "model.onnx")
            name = f"{group}/{folder.name}"
            if not is_tested(name, model):
                continue
            sets = []
            for data_set in sorted(folder.glob("test_data_set_*")):
                graph = model.graph
                inputs = [load_value(data_set / f"input_{i}.pb", v) for i, v in enumerate(graph.input) if (data_set / f"input_{i}.pb").exists()]
                outputs = [load_value(data_set / f"output_{i}.pb", v) for i, v in enumerate(graph.output)]
                sets.append((inputs, outputs))
            yield Case(name, model, sets, 1e-3, 1e-7)


def as_array(value):
    """Cases of types that NumPy does not know hold them as TensorProto."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def node_cases():
    for case in collect_testcases(None):
        if case.model is not None and is_tested(case.name, case.model):
            sets = [([as_array(v) for v in inputs], [as_array(v) for v in outputs]) for inputs, outputs in case.data_sets]
            yield Case(f"node/{case.name}", case.model, sets, case.rtol, case.atol)


def skip_list():
    skipped = []
    for line in (HERE / "skipped.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, _, reason = line.partition(" ")
            skipped.append((pattern, reason.strip()))
    return skipped


def prepare(case, inputs):
    """The model to save, and the inputs that go by .npy."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    constants = {t.name for t in graph.initializer}
    names = [v.name for v in graph.input]
    # Old files list their constants among the inputs; the data sets may or may not give them.
    free = [v for v in graph.input if v.name not in constants]
    values = dict(zip(names if len(inputs) == len(names) else [v.name for v in free], inputs))
    arguments = {}
    for value in free:
        array = values[value.name]
        if value.type.tensor_type.elem_type in NOT_IN_NUMPY:
            graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
            graph.input.remove(value)
        else:
            arguments[value.name] = np.asarray(array)
    for value in graph.output:
        if value.type.tensor_type.elem_type in NOT_IN_NUMPY:
            graph.node.append(helper.make_node("Cast", [value.name], [value.name + "_as_float"], to=TensorProto.FLOAT))
            value.CopyFrom(helper.make_tensor_value_info(value.name + "_as_float", TensorProto.FLOAT, None))
    return model, arguments


def konv(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise AssertionError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}")


def difference(actual, expected, rtol, atol):
    expected = np.asarray(expected)
    if expected.dtype.name in ("bfloat16", "int4", "uint4", "int2", "uint2"):
        expected = expected.astype(np.float32)
    if actual.dtype != expected.dtype:
        return f"is {actual.dtype}; expected {expected.dtype}"
    if actual.shape != expected.shape:
        return f"has shape {actual.shape}; expected {expected.shape}"
    wide = np.float64 if np.issubdtype(expected.dtype, np.floating) else expected.dtype
    if np.issubdtype(expected.dtype, np.floating):
        if np.allclose(actual.astype(wide), expected.astype(wide), rtol=rtol, atol=atol, equal_nan=True):
            return None
    elif np.array_equal(actual, expected):
        return None
    return f"differs: {actual.ravel()[:8]}; expected {expected.ravel()[:8]}"


def in_form(program, folder, form):
    """The file to run: the converted model, or what the other forms make of it."""
    found = folder / "found.konv"
    if form == "optimized":
        konv(program, "optimize", found, "-o", folder / "optimized.konv", "--quiet")
        return folder / "optimized.konv"
    if form == "exported":
        konv(program, "export", found, "-o", folder / "exported.onnx")
        exported = onnx.load(folder / "exported.onnx")
        if all(v.type.tensor_type.HasField("shape") for v in exported.graph.output):  # else the rank depends on an input
            onnx.checker.check_model(exported, full_check=True)
        return folder / "exported.onnx"
    return found


def run_case(program, case, forms):
    """None when the case passes, else what is wrong."""
    form = "found"
    try:
        for inputs, outputs in case.data_sets:
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                model, arguments = prepare(case, inputs)
                onnx.save(model, folder / "model.onnx")
                konv(program, "convert", folder / "model.onnx", "-o", folder / "found.konv")
                tensors = []
                for i, (input_name, array) in enumerate(arguments.items()):
                    np.save(folder / f"{i}.npy", array)
                    tensors.append(f"{input_name}={folder / f'{i}.npy'}")
                for form in forms:
                    file = in_form(program, folder, form)
                    konv(program, "run", file, *tensors, "--passes", "none", "--output-dir", folder / form, "--threads", "1", "--quiet")
                    for value, expected in zip(model.graph.output, outputs):
                        actual = np.load(folder / form / (value.name.replace("/", "_") + ".npy"))
                        wrong = difference(actual, expected, case.rtol, case.atol)
                        if wrong:
                            return f"{form}: output '{value.name}' {wrong}"
        return None
    except Exception as error:  # whatever goes wrong, it is this case's failure
        return f"{form}: {str(error) or type(error).__name__}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--filter", default="", help="only cases whose name holds this text")
    parser.add_argument("--forms", default="found,optimized,exported", help="what to run, separated by commas")
    parser.add_argument("--list", action="store_true", help="name every case with its result")
    options = parser.parse_args()

    skipped = skip_list()
    cases = [c for c in [*node_cases(), *stored_cases()] if options.filter in c.name]

    def judge(case):
        reason = next((why for pattern, why in skipped if fnmatch.fnmatchcase(case.name, pattern)), None)
        return case, reason, run_case(options.program, case, options.forms.split(","))

    counts = {"passed": 0, "failed": 0, "skipped": 0}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for case, reason, wrong in pool.map(judge, cases):
            if wrong is None and reason is None:
                result = "passed"
            elif wrong is not None and reason is not None:
                result = "skipped"
            else:
                result = "failed"
                wrong = wrong or f"passes, and is in skipped.txt ({reason})"
            counts[result] += 1
            if result == "failed" or options.list:
                print(f"{result}: {case.name}" + (f": {reason or wrong}" if result != "passed" else ""))
    print(f"onnx {onnx.__version__}, {options.forms}: {len(cases)} cases: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if counts["failed"] or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
