#!/usr/bin/env python3
"""Times `coppice analyze sparsity-index` on 100 million random f32 weights beside numpy, in turns.

usage: sparsity_index.py COPPICE FOLDER [--threads 2] [--rounds 5]

COPPICE is the program. Writes the weights into FOLDER, and prints for each pair of orders the medians of: Coppice's own
seconds (what it prints), the whole process, numpy computing the index of the same mapped file, and numpy adding up the
file, which is what reading it once costs there. Needs numpy.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import time

import numpy

COUNT = 100_000_000


def write_weights(path):
    header = json.dumps({"weight": {"dtype": "F32", "shape": [10_000, COUNT // 10_000],
                                    "data_offsets": [0, 4 * COUNT]}}).encode()
    header += b" " * (-(8 + len(header)) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.write(numpy.random.default_rng(0).standard_normal(COUNT, dtype=numpy.float32).tobytes())
    return 8 + len(header)


def timed(body):
    start = time.perf_counter()
    result = body()
    return time.perf_counter() - start, result


def index(path, offset, p, q):
    weights = numpy.abs(numpy.memmap(path, numpy.float32, "r", offset))
    count = numpy.count_nonzero(weights)
    first = (numpy.sqrt(weights) if p == 0.5 else weights).sum(dtype=numpy.float64)
    second = weights.sum(dtype=numpy.float64) if q == 1 else numpy.square(weights).sum(dtype=numpy.float64)
    return 1 - count ** (1 / q - 1 / p) * first ** (1 / p) / second ** (1 / q)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coppice")
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.makedirs(arguments.folder, exist_ok=True)
    path = f"{arguments.folder}/weights.safetensors"
    offset = write_weights(path)
    for p, q in ((0.5, 1), (1, 2)):
        times = {"own": [], "process": [], "numpy": [], "sum": []}
        for _ in range(arguments.rounds):
            process, run = timed(lambda: subprocess.run(
                [arguments.coppice, "analyze", "sparsity-index", path, "--p", str(p), "--q", str(q), "--scope", "global",
                 "--threads", str(arguments.threads), "--json"], capture_output=True, text=True, check=True))
            answer = json.loads(run.stdout)
            seconds, expected = timed(lambda: index(path, offset, p, q))
            if abs(answer["total"]["index"] - expected) > 1e-4:
                raise SystemExit(f"the index is {answer['total']['index']}, numpy's {expected}")
            reading, _ = timed(lambda: numpy.memmap(path, numpy.float32, "r", offset).sum())
            for key, value in zip(times, (answer["seconds"], process, seconds, reading)):
                times[key].append(value)
        own, process, peer, reading = (statistics.median(values) for values in times.values())
        print(f"p = {p}, q = {q}: {own:.3f} s (process {process:.3f} s), numpy {peer:.3f} s, {peer / own:.1f} times as "
              f"long; adding the file up {reading:.3f} s, {own / reading:.1f} of it")


if __name__ == "__main__":
    main()
