#!/usr/bin/env python3
"""The command line end to end: cli_test.py PROGRAM SOURCE_FOLDER. Standard library only."""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

KONV = sys.argv[1]
ROOT = pathlib.Path(sys.argv[2])
WEIGHTS = ROOT / "models" / "weights"
SAMPLES = ROOT / "models" / "samples"
DATA = pathlib.Path(os.environ["KONV_DATA"]) if os.environ.get("KONV_DATA") else None
NORMALIZE = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--labels", "cifar10"]
FUSIONS_BUT_REPVGG = "remove-dead-nodes,remove-identity,fold-constants,fold-batch-norm,fuse-residual,fuse-activation"


def konv(*arguments, status=0):
    done = subprocess.run([KONV, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == status, f"{arguments}: status {done.returncode}, {done.stderr}"
    return done


def png(width, height):
    """A black picture."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress((bytes(1 + 3 * width)) * height)) + chunk(b"IEND", b"")


def figures(*arguments):
    return json.loads(konv(*arguments, "--json", "--quiet").stdout)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def convert(self, name, arch):
        out = self.path / f"{name}.konv"
        konv("convert", WEIGHTS / f"{name}.safetensors", "--arch", arch, *NORMALIZE, "-o", out)
        return out


class MainJob(Folder):
    def test_every_committed_network_converts_and_classifies(self):
        for name, arch in [("resnet20", "resnet20"), ("repvgg", "repvgg"), ("lenet3", "lenet"), ("lenet5", "lenet"), ("lenet7", "lenet")]:
            model = self.convert(name, arch)
            konv("optimize", model, "-o", self.path / "optimized.konv")
            for found, optimized in zip(figures("run", model, SAMPLES), figures("run", self.path / "optimized.konv", SAMPLES)):
                self.assertEqual([t["label"] for t in found["top"]], [t["label"] for t in optimized["top"]])
            compared = figures("compare", model, self.path / "optimized.konv", "--iterations", "2", "--per-layer")
            self.assertLess(compared["max_rel_diff"], 1e-4)
            self.assertTrue(compared["layers"])  # values that both have, which no pass may have given other numbers
            self.assertIsNone(compared["first_difference"])

    def test_repvgg_becomes_single_convolutions(self):
        model = self.convert("repvgg", "repvgg")
        konv("optimize", model, "-o", self.path / "folded.konv", "--passes", FUSIONS_BUT_REPVGG)
        konv("optimize", model, "-o", self.path / "fused.konv")
        convs = {}
        for name in ["repvgg", "folded", "fused"]:
            nodes = figures("inspect", self.path / f"{name}.konv")["nodes"]
            convs[name] = sum(n["op"] == "Conv" for n in nodes)
            if name == "fused":
                self.assertNotIn("Add", {n["op"] for n in nodes})
        self.assertEqual(convs["repvgg"], 2 * convs["fused"])
        self.assertLess(figures("compare", self.path / "folded.konv", self.path / "fused.konv", "--iterations", "2")["max_rel_diff"], 1e-3)

    def test_inspect_and_bench_print_what_is_promised(self):
        model = self.convert("lenet5", "lenet")
        graph = figures("inspect", model, "--dot", self.path / "graph.dot")
        self.assertEqual(graph["parameters"], 62006)
        self.assertTrue((self.path / "graph.dot").read_text().startswith("digraph"))
        plan = figures("inspect", model, "--plan", "--isa", "avx2")["plan"]
        self.assertEqual(plan["isa"], "avx2")
        report = figures("bench", model, "--iterations", "3", "--batch", "2", "--per-layer", "--trace", self.path / "trace.json")
        for key in ["model", "device", "isa", "threads", "batch", "iterations", "latency_ms", "throughput_ips", "limit_ms", "load_ms", "first_inference_ms", "memory", "layers"]:
            self.assertIn(key, report)
        self.assertEqual(report["iterations"], 3)
        self.assertTrue(json.loads((self.path / "trace.json").read_text())["traceEvents"])
        self.assertIn("devices", figures("devices"))

    def test_one_layer_by_every_algorithm(self):
        layer = ["bench-conv", "--input", "2,16,9,11", "--filter", "24,3,3", "--pad", "1", "--seconds", "0.05"]
        reports = figures(*layer)
        ran = [r for r in reports if r["refused"] is None]
        self.assertEqual(sum(r["chosen"] for r in reports), 1)
        self.assertTrue({"conv_reference_f32", "conv_im2col_f32_portable", "conv_winograd4_f32_portable"} <= {r["algorithm"] for r in ran})
        for r in ran:
            self.assertGreater(r["median_us"], 0, r)
            self.assertLess(r["max_rel_error"], 1e-4, r)
            self.assertLessEqual(r["mse"], r["max_rel_error"] * 10, r)
        for r in reports:
            if r["refused"] is not None:
                self.assertIsNone(r["median_us"], r)
        strided = figures(*layer, "--stride", "2", "--groups", "4", "--dilation", "1,2", "--algorithm", "conv_reference_f32")
        self.assertEqual([r["algorithm"] for r in strided], ["conv_reference_f32"])
        self.assertLess(strided[0]["max_rel_error"], 1e-5)

    def test_every_layer_of_a_model_by_every_algorithm(self):
        model = self.path / "resnet20-fast.konv"
        konv("optimize", self.convert("resnet20", "resnet20"), "-o", model)
        asked = ["conv_blocked_f32", "conv_winograd2_f32", "conv_winograd4_f32"]
        layers = figures("bench-conv", "--model", model, "--image", SAMPLES / "cat.png", "--algorithm", ",".join(asked), "--seconds", "0")
        self.assertEqual(len(layers), 18)  # of 19: the first one's three channels are too few for all of them
        self.assertEqual(sum(l["filter"][1:] == [3, 3] and l["stride"] == [1, 1] for l in layers), 16)
        for layer in layers:
            by_name = {r["algorithm"].rsplit("_", 1)[0]: r for r in layer["algorithms"]}
            self.assertEqual(set(by_name), set(asked))
            takes = [r for r in by_name.values() if r["refused"] is None]
            self.assertEqual(len(takes), 3 if layer["filter"][1:] == [3, 3] and layer["stride"] == [1, 1] else 1, layer)
            for r in takes:
                self.assertTrue(0 < r["max_rel_error"] < 2e-5, r)
        self.assertIn("--model", konv("bench-conv", "--input", "1,4,5,5", "--filter", "6,3,3", "--image", "x.png", status=1).stderr)

    def test_inspect_says_in_what_slices_a_batch_is_run(self):
        model = self.convert("resnet20", "resnet20")
        one, many = (figures("inspect", model, "--plan", "--batch", str(n), "--threads", "2")["plan"] for n in (1, 256))
        self.assertEqual(one["batch"]["slice"], 1)
        self.assertLess(many["batch"]["slice"], 256)
        self.assertEqual(many["batch"]["at_a_time"], 2)
        self.assertEqual(many["values"][many["inputs"][0]]["dims"][0], many["batch"]["slice"])
        self.assertIn(f"a batch of 256 is run in slices of {many['batch']['slice']} images, 2 at a time",
                      konv("inspect", model, "--plan", "--batch", "256", "--threads", "2").stdout)
        # A limit that the whole batch exceeds is met by slices.
        limit = many["batch"]["held_bytes"]
        limited = figures("inspect", model, "--plan", "--batch", "256", "--threads", "2", "--memory-limit", str(limit))["plan"]["batch"]
        self.assertLessEqual(limited["held_bytes"], limit)
        self.assertEqual(figures("bench", model, "--batch", "256", "--threads", "2", "--iterations", "1", "--memory-limit", str(limit))["iterations"], 1)
        self.assertIn("--memory-limit 1000:", konv("bench", model, "--batch", "256", "--memory-limit", "1000", status=1).stderr)

    def test_tuned_plans_are_kept_and_replayed(self):
        model, plan = self.convert("lenet5", "lenet"), self.path / "plan.json"
        use = ["--plan-file", plan, "--threads", "1"]
        bench = ["bench", model, "--iterations", "2", "--per-layer", *use]
        self.assertIn("is not there", konv(*bench, status=1).stderr)
        first = figures(*bench, "--tune", "full")
        saved = json.loads(plan.read_text())
        self.assertLessEqual(saved["plans"][0]["seconds"], saved["plans"][0]["default_seconds"])
        replayed = figures(*bench)
        kernels = saved["plans"][0]["kernels"]
        for report in (first, replayed):
            ran = {layer["name"]: layer["algorithm"] for layer in report["layers"]}
            self.assertEqual({name: ran[name] for name in kernels}, kernels)
        self.assertEqual({s["name"]: s["kernel"] for s in figures("inspect", model, "--plan", *use)["plan"]["steps"] if s["name"] in kernels}, kernels)

        # Another choice in the file is obeyed; another network, shape, CPU or build is refused; tuning makes it right.
        name = next(iter(kernels))
        saved["plans"][0]["kernels"][name] = "conv_reference_f32"
        plan.write_text(json.dumps(saved))
        self.assertEqual({layer["name"]: layer["algorithm"] for layer in figures(*bench)["layers"]}[name], "conv_reference_f32")
        self.assertIn("no plan for this model", konv(*bench, "--batch", "2", status=1).stderr)
        self.assertIn("no plan for this model", konv("bench", self.convert("lenet3", "lenet"), *use, status=1).stderr)
        saved["cpu"] = "abacus"
        plan.write_text(json.dumps(saved))
        self.assertIn("abacus", konv(*bench, status=1).stderr)
        figures(*bench, "--tune", "quick")
        self.assertNotIn("abacus", plan.read_text())
        plan.write_text("no JSON")
        self.assertIn("plan.json: is no plan file", konv(*bench, status=1).stderr)

    def test_bfloat16_on_the_cpu_is_asked_for_and_says_where_it_ran(self):
        model, plan = self.convert("resnet20", "resnet20"), self.path / "plan.json"
        exact = figures("bench", model, "--device", "cpu", "--iterations", "1", "--per-layer")
        self.assertEqual((exact["precision"], exact["bfloat16_layers"]), ("float32", 0))
        self.assertEqual({layer["precision"] for layer in exact["layers"]}, {"float32"})
        here = figures("devices")["devices"][0]["bfloat16_dot_product"]
        asked = konv("bench", model, "--device", "cpu", "--precision", "bfloat16", "--iterations", "1").stdout
        self.assertRegex(asked, "bfloat16 in [1-9][0-9]* layers" if here else "bfloat16 in 0 layers")
        self.assertIn("expected float32 or bfloat16", konv("run", model, SAMPLES, "--device", "cpu", "--precision", "tf32", status=1).stderr)
        # Small layers gain nothing by it, so a plan asks for it wherever a kernel takes it.
        use = ["--device", "cpu", "--threads", "1", "--plan-file", plan]
        bfloat16 = [*use, "--precision", "bfloat16"]
        konv("bench", model, "--iterations", "1", "--tune", "quick", *bfloat16)
        saved = json.loads(plan.read_text())
        takes = lambda c: c["kernel"].startswith("conv_igemm_wbf16") and not c.get("refused")
        steps = figures("inspect", model, "--plan", "--precision", "bfloat16", "--device", "cpu")["plan"]["steps"]
        asked = {s["name"]: next(filter(takes, s["candidates"]))["kernel"] for s in steps if s["op"] == "Conv" and any(map(takes, s["candidates"]))}
        self.assertGreater(len(asked), 5)
        saved["plans"][0]["kernels"].update(asked)
        plan.write_text(json.dumps(saved))
        report = figures("bench", model, "--iterations", "1", "--per-layer", *bfloat16)
        rounded = {layer["name"]: layer["algorithm"] for layer in report["layers"] if layer["precision"] == "bfloat16 weights"}
        self.assertEqual((rounded, report["precision"], report["bfloat16_layers"]), (asked, "bfloat16", len(asked)))
        for command in [["bench", model], ["compare", model, model]]:
            self.assertIn(f", bfloat16 in {len(asked)} layers", konv(*command, "--iterations", "1", *bfloat16).stdout)
        best = lambda *options: [r["top"][0] for r in figures("run", model, SAMPLES, *options)]
        for a, b in zip(best(), best(*bfloat16)):
            self.assertEqual(a["label"], b["label"])
            self.assertTrue(abs(a["probability"] - b["probability"]) < 0.05, (a, b))
        # It is no plan for another precision.
        self.assertIn("1 threads, ", konv("bench", model, "--iterations", "1", *use, status=1).stderr)
        # One layer: the error stands beside the others', and without the option the kernel says why it did not run.
        names = ["conv_igemm_wbf16_portable", "conv_igemm_f32_portable"]
        layer = ["bench-conv", "--input", "1,64,7,7", "--filter", "64,3,3", "--pad", "1", "--seconds", "0", "--algorithm", ",".join(names)]
        by_name = {r["algorithm"]: r for r in figures(*layer, "--dtype", "bfloat16")}
        self.assertTrue(1e-4 < by_name[names[0]]["max_rel_error"] < 2**-8, by_name)
        self.assertLess(by_name[names[1]]["max_rel_error"], 1e-5)
        self.assertIn("--precision", {r["algorithm"]: r for r in figures(*layer)}[names[0]]["refused"])

    def test_devices_are_measured(self):
        self.assertIn("bfloat16_dot_product", figures("devices")["devices"][0])
        cpu = figures("devices")["devices"][0]
        for figure in ["peak_gflops", "l1_gb_per_s", "l2_gb_per_s", "l3_gb_per_s", "dram_gb_per_s"]:
            self.assertGreater(cpu[figure], 0, figure)

    def test_outputs_are_written_as_npy(self):
        model = self.convert("lenet3", "lenet")
        konv("run", model, SAMPLES, "--output-dir", self.path / "out", "--quiet")
        self.assertTrue((self.path / "out" / "logits.npy").read_bytes().startswith(b"\x93NUMPY"))

    def test_saved_models_run_as_saved(self):
        model = self.convert("resnet20", "resnet20")
        hint = konv("bench", model, "--iterations", "1").stderr
        self.assertEqual(hint.count("hint"), 1)
        konv("optimize", model, "-o", self.path / "optimized.konv")
        self.assertNotIn("hint", konv("bench", self.path / "optimized.konv", "--iterations", "1").stderr)

    @unittest.skipIf(DATA is None, "KONV_DATA is not set")
    def test_third_party_weights_keep_their_accuracy(self):
        model = self.path / "third.konv"
        konv("convert", DATA / "resnet20-12fca82f.th", "--arch", "resnet20", *NORMALIZE, "-o", model)
        konv("optimize", model, "-o", self.path / "optimized.konv")
        for path in [model, self.path / "optimized.konv"]:
            self.assertAlmostEqual(figures("eval", path, "--data", DATA / "cifar10-lossless-test-1017.bin")["correct"], 932, delta=1)


class Smaller(Folder):
    """quantize and prune, with the ten samples as calibration images."""

    def setUp(self):
        super().setUp()
        self.images = self.path / "images"
        for picture in sorted(SAMPLES.glob("*.png")):
            folder = self.images / picture.stem
            folder.mkdir(parents=True)
            (folder / picture.name).write_bytes(picture.read_bytes())

    def labels(self, model):
        return [picture["top"][0]["label"] for picture in figures("run", model, SAMPLES)]

    def test_quantized_networks_are_small_and_classify(self):
        model = self.convert("resnet20", "resnet20")
        sizes = {}
        for weights, activations in [("int8", "int8"), ("int4", "int4"), ("int2", "float32")]:
            out = self.path / f"{weights}.konv"
            konv("quantize", model, "-o", out, "--weights", weights, "--activations", activations, "--calibration", self.images, "--report", self.path / "report.json")
            sizes[weights] = out.stat().st_size
            layers = json.loads((self.path / "report.json").read_text())["layers"]
            self.assertEqual(len(layers), 20)
            self.assertAlmostEqual(sum(layer["noise_share"] for layer in layers), 1, places=6)
        self.assertLess(sizes["int8"], 300_000)
        self.assertLess(sizes["int4"], 180_000)
        self.assertLess(sizes["int2"], 120_000)
        self.assertEqual(self.labels(self.path / "int8.konv"), self.labels(model))
        kernels = {step["kernel"] for step in figures("inspect", self.path / "int8.konv", "--plan", "--isa", "avx512_vnni")["plan"]["steps"]}
        self.assertIn("conv_blocked_u8_avx512_vnni", kernels)
        self.assertFalse({k for k in kernels if k.startswith("conv_") and "_u8" not in k}, kernels)

    def test_committed_quantized_networks_run_in_integers(self):
        networks = sorted(WEIGHTS.glob("*.onnx"))
        self.assertTrue(networks)
        for network in networks:
            with self.subTest(network.name):
                found, integer = self.path / "found.konv", self.path / "integer.konv"
                konv("convert", network, *NORMALIZE, "-o", found)
                konv("optimize", found, "-o", integer)
                for isa in ["portable", "avx512_vnni"]:
                    steps = figures("inspect", integer, "--plan", "--isa", isa)["plan"]["steps"]
                    layers = [step for step in steps if step["op"] in ("Conv", "Gemm")]
                    self.assertEqual([s["name"] for s in layers if "_u8_" not in s["kernel"]], [])
                    self.assertEqual(len(layers), sum(n["op"] in ("Conv", "Gemm") for n in figures("inspect", found)["nodes"]))
                    self.assertFalse({"QuantizeLinear", "DequantizeLinear", "Clip"} & {step["op"] for step in steps})
                if network.stem.startswith("lenet"):  # no BatchNorm: as many parameters as in real numbers
                    counts = [figures("inspect", model)["parameters"] for model in (integer, self.convert(network.stem.split("-")[0], "lenet"))]
                    self.assertEqual(*counts)
                self.assertEqual(self.labels(integer), self.labels(found))  # which computes the same in float32
                judged = figures("eval", integer, "--data", self.images)
                self.assertEqual(judged["images"], 10)

    def test_models_quantized_elsewhere_are_compressed_further(self):
        found, optimized = self.path / "found.konv", self.path / "optimized.konv"
        konv("convert", WEIGHTS / "lenet5-w4a4.onnx", *NORMALIZE, "-o", found)
        konv("optimize", found, "-o", optimized)
        made = []
        for model in [found, optimized]:
            made.append(self.path / f"{model.stem}-int8.konv")
            konv("quantize", model, "-o", made[-1], "--weights", "int8", "--activations", "int8", "--calibration", self.images)
            pruned = self.path / f"{model.stem}-pruned.konv"
            konv("prune", model, "-o", pruned, "--sparsity", "0.3", "--calibration", self.images)
            kernels = [s["kernel"] for s in figures("inspect", pruned, "--plan", "--isa", "portable")["plan"]["steps"] if s["op"] == "Conv"]
            self.assertEqual([k for k in kernels if "_u8_" not in k], [])  # the bits that it came with
        self.assertEqual(figures("compare", *made, "--iterations", "2")["max_abs_diff"], 0)

    def test_pruned_networks_shrink_and_can_be_quantized(self):
        model = self.convert("lenet5", "lenet")
        pruned, both = self.path / "pruned.konv", self.path / "both.konv"
        konv("prune", model, "-o", pruned, "--sparsity", "0.3", "--calibration", self.images)
        self.assertLess(pruned.stat().st_size, model.stat().st_size)
        self.assertLess(figures("inspect", pruned)["macs"], 0.8 * figures("inspect", model)["macs"])
        konv("quantize", pruned, "-o", both, "--weights", "int8", "--activations", "int8", "--calibration", self.images, "--reference", model)
        self.assertLess(both.stat().st_size, pruned.stat().st_size / 3)
        self.assertEqual(len(self.labels(both)), 10)

    def test_every_kind_of_pruning_in_either_order_with_quantization(self):
        model = self.convert("lenet5", "lenet")
        macs = figures("inspect", model)["macs"]
        quantized = self.path / "int8.konv"
        konv("quantize", model, "-o", quantized, "--weights", "int8", "--activations", "int8", "--calibration", self.images)
        for kind in ["channels", "unstructured", "k-rows"]:
            small, both = self.path / "small.konv", self.path / "both.konv"
            konv("prune", model, "-o", small, "--sparsity", "0.4", "--kind", kind, "--calibration", self.images)
            if kind == "channels":
                self.assertLess(figures("inspect", small)["macs"], 0.7 * macs)
            konv("prune", quantized, "-o", both, "--sparsity", "0.4", "--kind", kind, "--calibration", self.images, *([] if kind == "channels" else ["--reference", model]))
            self.assertLessEqual(both.stat().st_size, quantized.stat().st_size + 2000)
            self.assertEqual(len(self.labels(both)), 10)
            kernels = {step["kernel"] for step in figures("inspect", both, "--plan", "--isa", "avx2")["plan"]["steps"]}
            self.assertFalse({k for k in kernels if k.startswith("conv_") and "_u8" not in k}, kernels)

    def test_weights_of_16_bit_floats(self):
        model = self.convert("resnet20", "resnet20")
        for weights in ["float16", "bfloat16"]:
            out = self.path / "half.konv"
            konv("quantize", model, "-o", out, "--weights", weights, "--activations", "float32")
            self.assertLess(out.stat().st_size, 0.53 * model.stat().st_size)
            self.assertEqual(self.labels(out), self.labels(model))
            again = self.path / "int8.konv"
            konv("quantize", out, "-o", again, "--weights", "int8", "--activations", "int8", "--calibration", self.images)
            self.assertLess(again.stat().st_size, 300_000)

    def test_compare_shows_accuracy_size_and_the_layers_that_hurt(self):
        model, small = self.convert("lenet5", "lenet"), self.path / "small.konv"
        konv("quantize", model, "-o", small, "--weights", "int4", "--activations", "int8", "--calibration", self.images)
        report = figures("compare", model, small, "--data", self.images, "--iterations", "2", "--per-layer")
        self.assertGreater(report["a"]["file_bytes"], 3 * report["b"]["file_bytes"])
        self.assertLessEqual(abs(report["top1_a"] - report["top1_b"]), 1 - report["agreement"] + 1e-9)
        self.assertGreater(len(report["layers"]), 4)
        noise = [layer["signal_to_noise_db"] for layer in report["layers"]]
        self.assertTrue(5 < min(noise) < 40, report["layers"])

    def test_threads_change_no_byte(self):
        model = self.convert("lenet5", "lenet")
        for threads in "12":
            konv("quantize", model, "-o", self.path / threads, "--weights", "int4", "--activations", "int4", "--calibration", self.images, "--threads", threads)
        self.assertEqual((self.path / "1").read_bytes(), (self.path / "2").read_bytes())


class WrongUse(Folder):
    def fails(self, status, *arguments, names=()):
        done = konv(*arguments, status=status)
        last = done.stderr.rstrip("\n").split("\n")[-1]
        self.assertTrue(last.startswith("konv: error: "), last)
        self.assertIn("expected", last)
        for name in names:
            self.assertIn(name, last)
        return last

    def test_wrong_usage_is_status_2(self):
        self.fails(2, "run")
        self.fails(2, "frobnicate")
        self.fails(2, "bench", "x.konv", "--iterations", "many")
        self.fails(2, "convert", "x.onnx")
        self.fails(2, "bench", "x.konv", "--no-such-option")

    def test_compressing_fails_without_a_trace(self):
        model = self.convert("lenet5", "lenet")
        out, empty, large = self.path / "out.konv", self.path / "empty", self.path / "large"
        empty.mkdir()
        quantize = ["quantize", model, "-o", out, "--weights", "int8", "--activations", "int8"]
        data = self.path / "data" / "cat"
        data.mkdir(parents=True)
        (data / "cat.png").write_bytes((SAMPLES / "cat.png").read_bytes())
        config = self.path / "config.json"
        config.write_text('{"layers": {"nobody": {"weights": "int8"}}}')
        self.fails(2, *quantize)
        self.fails(2, "quantize", model, "-o", out, "--weights", "int3", "--activations", "int8", "--calibration", data.parent, names=["int3", "int8"])
        self.fails(2, *quantize, "--calibration", data.parent, "--samples", "0", names=["--samples", "0: expected a number above 0"])
        self.fails(1, *quantize, "--calibration", empty, names=["empty"])
        self.fails(1, *quantize, "--calibration", self.path / "nowhere", names=["nowhere"])
        self.fails(1, *quantize, "--calibration", data.parent, "--config", config, names=["nobody"])
        self.fails(1, "quantize", model, "-o", out, "--weights", "int2", "--activations", "int16", "--calibration", data.parent, names=["2-bit weights", "no kernel"])
        self.fails(1, "quantize", model, "-o", out, "--weights", "float16", "--activations", "int8", names=["float16", "no kernel"])
        small = self.path / "small" / "cat"
        small.mkdir(parents=True)
        (small / "tiny.png").write_bytes(png(5, 4))
        self.fails(1, *quantize, "--calibration", small.parent, names=["tiny.png", "5x4"])
        self.fails(1, "prune", model, "-o", out, "--sparsity", "1.5", "--calibration", data.parent, names=["--sparsity 1.5"])
        self.fails(2, "prune", model, "-o", out, "--sparsity", "0.5", "--kind", "magic", "--calibration", data.parent, names=["magic"])
        self.fails(1, *quantize, "--calibration", data.parent, "--reference", self.convert("lenet3", "lenet"), names=["reference"])
        self.assertFalse(out.exists())

    def test_an_interrupted_run_leaves_no_file(self):
        model, out = self.convert("resnet20", "resnet20"), self.path / "out.konv"
        images = self.path / "images"
        for label, picture in [("cat", "cat.png"), ("dog", "dog.png")]:
            (images / label).mkdir(parents=True)
            for copy in range(200):
                (images / label / f"{copy}.png").write_bytes((SAMPLES / picture).read_bytes())
        before = set(self.path.iterdir())
        running = subprocess.Popen([KONV, "prune", model, "-o", out, "--sparsity", "0.5", "--calibration", images], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        self.assertIsNone(running.poll(), "it is over before it could be interrupted")
        running.terminate()
        running.wait()
        self.assertEqual(set(self.path.iterdir()), before)

    def test_wrong_files_are_one_line_and_status_1(self):
        model = self.convert("lenet5", "lenet")
        text = self.path / "text.png"
        text.write_text("no picture")
        broken = self.path / "broken.jpg"
        broken.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
        truncated = self.path / "truncated.konv"
        truncated.write_bytes(model.read_bytes()[:5000])
        self.fails(1, "run", self.path / "missing.konv", text, names=["missing.konv"])
        self.fails(1, "run", truncated, text, names=["truncated.konv"])
        self.fails(1, "run", model, text, names=["text.png"])
        self.fails(1, "run", model, broken, names=["broken.jpg"])
        self.fails(1, "run", model, self.path / "missing.png", names=["missing.png"])
        self.fails(1, "convert", WEIGHTS / "lenet5.safetensors", "--arch", "resnet2000", "-o", self.path / "x.konv", names=["resnet2000"])
        self.fails(1, "convert", WEIGHTS / "lenet5.safetensors", "--arch", "resnet20", "-o", self.path / "x.konv", names=["lenet5.safetensors"])
        self.fails(1, "convert", WEIGHTS / "lenet5.safetensors", "--arch", "lenet", "-o", self.path / "no" / "x.konv", names=["x.konv"])
        self.fails(1, "optimize", model, "-o", self.path / "x.konv", "--passes", "fold-everything", names=["fold-everything"])
        self.fails(1, "bench", model, "--device", "cuda", names=["cuda"])
        self.fails(1, "eval", model, "--data", self.path / "nothing", names=["nothing"])
        layer = ["bench-conv", "--input", "1,4,5,5", "--filter", "6,3,3"]
        self.fails(1, *layer, "--groups", "4", names=["--groups 4", "6 output"])
        self.fails(1, *layer, "--pad", "1,1,1", names=["--pad 1,1,1"])
        self.fails(1, *layer, "--algorithm", "conv_magic", names=["conv_magic", "conv_reference_f32"])
        self.fails(1, "bench-conv", "--input", "1,4,2,2", "--filter", "6,3,3", names=["conv"])
        self.assertFalse((self.path / "x.konv").exists())

    def test_forced_instruction_set_must_exist(self):
        model = self.convert("lenet5", "lenet")
        done = subprocess.run([KONV, "bench", model, "--iterations", "1"], capture_output=True, text=True, env={**os.environ, "KONV_FORCE_ISA": "mmx"})
        self.assertEqual(done.returncode, 1)
        self.assertIn("KONV_FORCE_ISA", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
