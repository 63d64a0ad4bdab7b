"""ONNX models: operators that move elements and compute sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fixtures_onnx import Case, numbers
from onnx import helper, numpy_helper


def newer(folder: Path) -> None:
    case = Case("shape_18", 18, numbers(2, 3, 4, 5))
    case.output("Concat", ["x", case.constant(numbers(2, 2, 4, 5))], axis=1)
    case.output("Concat", ["x", "x", "x"], axis=-1)
    case.output("Pad", ["x", case.ints(0, 1, 2, 0, 0, 0, 1, 3), case.constant(1.5)])
    case.output("Pad", ["x", case.ints(0, 0, 2, 1, 0, 0, 1, 3)], mode="reflect")
    case.output("Pad", ["x", case.ints(0, 0, 2, -1, 0, 0, 1, -2)], mode="edge")
    case.output("Pad", ["x", case.ints(1, 2, 0, 3), "", case.ints(-1, 2)])
    case.output("Slice", ["x", case.ints(1, 4), case.ints(3, -6), case.ints(1, 3), case.ints(1, -2)])
    case.output("Slice", ["x", case.ints(-1), case.ints(100)])
    case.output("Slice", ["x", case.constant([1], np.int32), case.constant([3], np.int32), case.constant([2], np.int32)])
    case.output("Flatten", ["x"], axis=2)
    case.output("Reshape", ["x", case.ints(0, -1, 5)])
    case.output("Transpose", ["x"], perm=[0, 2, 3, 1])
    case.output("Transpose", ["x"])
    wide = case.step("Unsqueeze", ["x", case.ints(0, -1)])
    case.output("Squeeze", [wide, case.ints(-1)])
    case.output("Squeeze", [wide])
    case.output("Gather", ["x", case.constant([[2, 0], [-1, 1]], np.int64)], axis=1)
    case.output("Gather", ["x", case.constant(1, np.int32)])
    case.output("Expand", [case.constant(numbers(3, 1)), case.ints(2, 1, 4)])
    case.output("Cast", [case.step("Shape", ["x"], start=1, end=-1)], to=1)
    case.output("ConstantOfShape", [case.ints(2, 3)], value=numpy_helper.from_array(np.array([2.5], np.float32)))
    case.output("ConstantOfShape", [case.ints(2)])
    case.save(folder)

    case = Case("shape_dynamic", 13, numbers(2, 3, 4, 5), ("N", None, "H", None))
    batch = case.step("Gather", [case.step("Shape", ["x"]), case.constant(0, np.int64)])
    sizes = case.step("Concat", [case.step("Unsqueeze", [batch, case.ints(0)]), case.ints(-1)], axis=0)
    case.output("Reshape", ["x", sizes])
    case.output("GlobalAveragePool", ["x"])
    case.save(folder)


def constants(folder: Path) -> None:
    case = Case("shape_constants", 13, numbers(2, 3))
    sparse = helper.make_sparse_tensor(helper.make_tensor("", 1, [2], [1.0, 5.0]), helper.make_tensor("", 7, [2, 2], [0, 1, 1, 2]), [2, 3])
    dense = np.array([[0, 1, 0], [0, 0, 5]], np.float32)
    x = case.x
    case.output("Add", ["x", case.step("Constant", [], value=numpy_helper.from_array(numbers(3, seed=1)))])
    case.output("Add", ["x", case.step("Constant", [], value_float=1.5)])
    case.output("Add", ["x", case.step("Constant", [], value_floats=[1.0, 2.0, 3.0])])
    case.output("Add", ["x", case.step("Constant", [], sparse_value=sparse)], x + dense)
    case.output("Reshape", ["x", case.step("Constant", [], value_ints=[3, 2])])
    case.output("Cast", [case.step("Constant", [], value_int=7)], to=1)
    case.save(folder)


def older(folder: Path) -> None:
    x = numbers(2, 3, 4, 5)
    case = Case("shape_9", 9, x)
    case.output("Pad", ["x"], np.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)), constant_values=0.5), pads=[0, 1, 0, 0, 0, 0, 2, 0], value=0.5)
    case.output("Pad", ["x"], np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 0)), mode="reflect"), pads=[0, 0, 1, 2, 0, 0, 1, 0], mode="reflect")
    case.output("Slice", ["x"], x[:, 1:3, :, -4:-1], starts=[1, -4], ends=[3, -1], axes=[1, 3])
    case.output("Slice", ["x"], x[1:, :2], starts=[1, 0], ends=[1000, 2])
    wide = case.step("Unsqueeze", ["x"], axes=[0, 3])
    case.output("Squeeze", [wide], x[:, :, None], axes=[0])
    case.output("Squeeze", [wide], x)
    case.output("Reshape", ["x", case.ints(0, -1)], x.reshape(2, -1))
    case.save(folder)


def make(folder: Path) -> None:
    newer(folder)
    constants(folder)
    older(folder)
