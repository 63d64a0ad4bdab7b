"""One engine on one network, driven over a pipe: worker.py ENGINE NETWORK ONNX BATCH THREADS LIBRARY [PRECISION].

Reads a number of runs per line, answers with a JSON list of seconds; the first line it writes is the output of one inference, or why
it cannot take part.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

import engines
import peer_networks


def main() -> None:
    engine, network, onnx, batch, threads, library = sys.argv[1:7]
    precision = sys.argv[7] if len(sys.argv) > 7 else "float32"
    channel = sys.stdout
    sys.stdout = sys.stderr  # engines print as they like
    size = peer_networks.image_size(network)
    x = np.random.default_rng(1).standard_normal((int(batch), 3, size, size)).astype(np.float32)
    try:
        run = engines.ENGINES[engine](network, Path(onnx), x, int(threads), Path(library), precision)
        output = np.array(run()).ravel().astype(float).tolist()
    except engines.Unavailable as reason:
        print(json.dumps({"unavailable": str(reason)}), file=channel, flush=True)
        return
    print(json.dumps({"output": output}), file=channel, flush=True)
    for line in sys.stdin:
        run()  # caches and threads are cold after the others' turns
        seconds = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
        print(json.dumps(seconds), file=channel, flush=True)


if __name__ == "__main__":
    main()
