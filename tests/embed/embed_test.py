#!/usr/bin/env python3
"""Installs konv into a fresh prefix, moves it, builds the consumers against it by find_package and by pkg-config, runs them, and checks what is exported.

embed_test.py BUILD_FOLDER SOURCE_FOLDER PROGRAM. Standard library only.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import zlib

BUILD, SOURCE, KONV = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]


def call(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def rgb_pixels(png):
    """Pixels of an 8-bit RGB PNG without interlace."""
    data, at, packed, width, height = png.read_bytes(), 8, b"", 0, 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
            assert body[8:] == b"\x08\x02\x00\x00\x00", "expected 8-bit RGB without interlace"
        if kind == b"IDAT":
            packed += body
        at += size + 12
    raw, row, out = zlib.decompress(packed), 3 * width, bytearray()
    before = bytearray(row)
    for y in range(height):
        kind, line = raw[y * (row + 1)], bytearray(raw[y * (row + 1) + 1 : (y + 1) * (row + 1)])
        for i in range(row):
            left, up, corner = line[i - 3] if i >= 3 else 0, before[i], before[i - 3] if i >= 3 else 0
            p = left + up - corner
            paeth = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
            line[i] = (line[i] + [0, left, up, (left + up) // 2, paeth][kind]) & 255
        out += line
        before = line
    return bytes(out)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        call("cmake", "--install", BUILD, "--prefix", folder / "first")
        prefix = folder / "moved"
        (folder / "first").rename(prefix)

        model, pixels = folder / "lenet.konv", folder / "pixels.rgb"
        call(KONV, "convert", SOURCE / "models/weights/lenet5.safetensors", "--arch", "lenet", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225",
             "--labels", "cifar10", "-o", model)
        pixels.write_bytes(rgb_pixels(SOURCE / "models/samples/ship.png"))
        expected = call(KONV, "run", model, SOURCE / "models/samples/ship.png", "--top", "1").split()[1]

        consumer = folder / "consumer"
        call("cmake", "-S", SOURCE / "tests/embed", "-B", consumer, f"-DCMAKE_PREFIX_PATH={prefix}")
        call("cmake", "--build", consumer)
        environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
        flags = call("pkg-config", "--cflags", "--libs", "konv", env=environment).split()
        call("cc", SOURCE / "tests/embed/classify.c", "-o", consumer / "classify_pc", *flags)
        for program in ["classify_cpp", "classify_cpp_static", "classify_c", "classify_pc"]:
            found = call(consumer / program, model, pixels).strip()
            assert found == expected, f"{program} says {found}; expected {expected}"
            wrong = subprocess.run([consumer / program, SOURCE / "README.md", pixels], capture_output=True, text=True)
            assert wrong.returncode == 1 and wrong.stderr.count("\n") == 1, wrong

        symbols = call("nm", "-D", "--defined-only", "-C", prefix / "lib/libkonv.so").splitlines()
        strangers = [s for s in symbols if "konv" not in s.split(maxsplit=2)[2]]
        inside = [s for s in symbols if any(room in s for room in ("konv::Graph", "konv::plan::", "konv::run::", "konv::format::", "konv::passes::"))]
        assert not strangers and not inside, f"libkonv.so exports {strangers[:5] + inside[:5]}"
        print(f"4 consumers built and run, {len(symbols)} symbols exported, all public")


main()
