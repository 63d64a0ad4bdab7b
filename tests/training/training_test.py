#!/usr/bin/env python3
"""Quantization-aware training (models/training) against what konv computes: training_test.py KONV ROOT.

Random networks and images, a few steps; nothing is learned.
Exit status 0: all agree; 1: something does not; 77: torch, onnx or pillow is not installed.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

KONV, ROOT = Path(sys.argv.pop(1)), Path(sys.argv.pop(1))
sys.path.insert(0, str(ROOT / "models" / "training"))
try:
    import numpy as np
    import onnx
    import torch
    import PIL  # noqa: F401
except ImportError as missing:
    print(f"konv: skipped: {missing}; expected the Python packages torch, onnx, numpy and pillow")
    sys.exit(77)

import data  # noqa: E402
import export_quantized  # noqa: E402
import lsq  # noqa: E402
import networks  # noqa: E402
import release_quantized  # noqa: E402
import teaching  # noqa: E402
import train  # noqa: E402
import write_card  # noqa: E402


def random_images(count: int) -> torch.Tensor:
    """Smooth ones: noise alone is the same to every network."""
    coarse = torch.rand(count, 3, 4, 4)
    return (torch.nn.functional.interpolate(coarse, size=32, mode="bilinear") * 255).to(torch.uint8)


def quantized(name: str, images: torch.Tensor, **fields: object) -> torch.nn.Module:
    torch.manual_seed(1)
    model = lsq.prepare(networks.build(name).eval(), 2, 2, **fields)
    lsq.start(model, images)
    return model


class Training(unittest.TestCase):
    def test_recipes_name_files_that_are_there(self):
        recipes = sorted((ROOT / "models" / "training" / "configs").glob("*.json"))
        self.assertTrue(recipes)
        for recipe in recipes:
            with self.subTest(recipe.name):
                config = train.Config.load(recipe)
                for file in filter(None, [config.start, config.teacher]):
                    self.assertTrue((train.WEIGHTS / file).is_file(), file)

    def test_cards_tell_of_what_was_special(self):
        self.assertEqual(release_quantized.describe_more({"network": "lenet5"}), "")  # checkpoints of before
        told = release_quantized.describe_more({"teacher": "resnet20.safetensors", "teacher_share": 0.5, "temperature": 4.0, "norms": True, "bfloat16": True})
        self.assertRegex(told, r"^\| teacher \|.*`resnet20.safetensors`: 50%.*temperature 4 .*\|\n\| BatchNorm \|.*\|\n\| arithmetic \|.*bfloat16.*\|\n$")
        self.assertIn("0.99", write_card.describe_average({"ema_decay": 0.99}))
        self.assertEqual(write_card.describe_average({"ema_decay": 0.0}), "the last ones")

    def test_average_of_no_decay_is_the_last_step(self):
        model = torch.nn.Linear(3, 2)
        average = train.MovingAverage(model, 0.0)
        with torch.no_grad():
            model.weight.fill_(7)
        average.update(model, 5)
        self.assertTrue(torch.equal(average.state["weight"], model.weight))

    def test_bfloat16_is_for_training_only(self):
        images = random_images(32)
        x = data.normalize(images)
        exact, fast = (quantized("repvgg", images, bfloat16=on) for on in (False, True))
        with torch.no_grad():
            self.assertTrue(torch.equal(exact.eval()(x), fast.eval()(x)))
        self.assertFalse(fast.stage0.conv.bfloat16)  # pixels of 8 bits and their scale
        layers = [model.train().stage1[0].conv for model in (exact, fast)]
        features = torch.rand(8, 32, 9, 9)
        outputs = [layer(features) for layer in layers]
        for y in outputs:
            y.square().sum().backward()
        for a, b in (outputs, [layer.weight.grad for layer in layers]):
            error = ((a - b).norm() / a.norm()).item()
            self.assertGreater(error, 0)
            self.assertLess(error, 0.01)  # products are rounded to 8 bits of mantissa, sums are not

    def test_norms_change_nothing_before_training(self):
        images = random_images(64)
        x = data.normalize(images)
        plain, normed = (quantized("lenet5", images, norms=norms).eval() for norms in (False, True))
        norms = [name for name, module in normed.named_modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
        self.assertEqual(norms, ["conv1.norm", "conv2.norm", "fc1.norm", "fc2.norm"])
        with torch.no_grad():
            expected, found = plain(x), normed(x)
        # A value beside the middle of two integers may go either way; most do not.
        self.assertLess((expected - found).abs().median().item(), 1e-5)

    def test_konv_computes_what_training_does(self):
        images = random_images(32)
        for name, fields in [("lenet5", {}), ("lenet5", {"norms": True}), ("lenet7", {"norms": True}), ("repvgg", {})]:
            with self.subTest(name, **fields), tempfile.TemporaryDirectory() as folder:
                model = quantized(name, images, **fields).train()
                optimizer = train.make_optimizer(model, train.Config(name, 1, 32, 0.01))
                for _ in range(3):
                    loss = torch.nn.functional.cross_entropy(model(data.normalize(images)), torch.arange(32) % 10)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                model = lsq.round_biases(model.eval())
                again = lsq.round_biases(copy.deepcopy(model))
                with torch.no_grad():
                    expected = model(data.normalize(images)).numpy()
                    self.assertLess(np.abs(again(data.normalize(images)).numpy() - expected).max(), 1e-5)
                onnx.save(export_quantized.export(model, name), f"{folder}/x.onnx")
                np.save(f"{folder}/in.npy", data.normalize(images).numpy())
                for words in (
                    ["convert", "x.onnx", "-o", "x.konv"],
                    ["optimize", "x.konv", "-o", "i.konv"],
                    ["run", "i.konv", "input=in.npy", "--output-dir", "."],
                ):
                    subprocess.run([KONV.resolve(), *words, "--quiet"], cwd=folder, check=True, capture_output=True)
                found = np.load(f"{folder}/logits.npy")
                self.assertLess(np.median(np.abs(found - expected)), 1e-4)
                self.assertGreaterEqual((found.argmax(1) == expected.argmax(1)).mean(), 0.9)

    def test_teacher(self):
        scores = torch.randn(8, 10)
        student = scores.clone().requires_grad_()
        teaching.loss(student, scores, 4.0).backward()
        self.assertLess(student.grad.abs().max().item(), 1e-6)  # who knows it all has nothing to learn
        with tempfile.TemporaryDirectory() as folder:
            os.environ["KONV_TRAINING_CACHE"] = folder
            images = random_images(16)
            teacher = train.WEIGHTS / "lenet3.safetensors"
            first = teaching.logits(teacher, images, batch=5)
            self.assertEqual(len(list(Path(folder).iterdir())), 1)
            self.assertTrue(torch.equal(first, teaching.logits(teacher, images)))
            mirrored = teaching.logits(teacher, images.flip(3))
            self.assertLess((first - mirrored).abs().max().item(), 1e-4)


if __name__ == "__main__":
    unittest.main()
