#!/usr/bin/env python3
"""Measures passes of a pruned ResNet-20 that skip zeros, beside DeepSparse, and beside dense passes of both and of PyTorch.

usage: sparse_networks.py COPPICE CHECKPOINT [--sparsity 0.8,0.9,0.95] [--rounds 5] [--threads 1]

COPPICE is the program, CHECKPOINT a safetensors file of a ResNet-20. Each side removes the smallest weights of all
convolutions and the last layer by one threshold. Coppice's times are those of `coppice compress --measure` (medians of 11
passes of 32 images, dense and pruned in turns), PyTorch's are of the faster memory format, DeepSparse's of the exported
network; each number is the median of the rounds, in which the sides take turns. Needs torch, transformers and
safetensors, and onnx and deepsparse 1.8 for DeepSparse.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time
import warnings

import torch
from safetensors.torch import load_file

from torch_speed import resnet20

RECIPE = "stages:\n  - prune: { method: magnitude, scope: global, sparsity: %g }\n"


def load(checkpoint):
    def renamed(name):
        name = name.replace("linear.", "fc.")
        if not name.startswith("layer"):
            return name
        stage, block, rest = name[len("layer"):].split(".", 2)
        return f"blocks.{3 * (int(stage) - 1) + int(block)}.{rest}"

    network = resnet20()
    network.load_state_dict({renamed(name): value for name, value in load_file(checkpoint).items()}, strict=False)
    return network.eval()


def pruned(checkpoint, sparsity):
    network = load(checkpoint)
    weights = [p for p in network.parameters() if p.dim() > 1]
    scores = torch.cat([w.detach().abs().flatten() for w in weights])
    threshold = scores.kthvalue(max(1, int(sparsity * len(scores)))).values
    with torch.no_grad():
        for weight in weights:
            weight *= weight.abs() > threshold
    return network.eval()


def seconds(body, passes=11):
    """The median pass, after one that does not count."""
    body()
    times = []
    for _ in range(passes):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def coppice(arguments, sparsity, folder):
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE % sparsity)
    result = subprocess.run(
        [arguments.coppice, "compress", arguments.checkpoint, "--recipe", recipe, "--output", tempfile.mkdtemp(dir=folder) + "/pruned",
         "--measure", "--json", "--threads", str(arguments.threads)],
        capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr.strip())
    times = json.loads(result.stdout)["seconds"]
    return {"Coppice, dense": times["inference_before"], "Coppice": times["inference_after"]}


def pytorch(network, images):
    best = float("inf")
    with torch.inference_mode():
        for layout in (torch.contiguous_format, torch.channels_last):
            own, x = network.to(memory_format=layout), images.to(memory_format=layout)
            best = min(best, seconds(lambda: own(x)))
    return {"PyTorch, dense": best}


def engine(network, images, path, threads):
    from deepsparse import compile_model
    warnings.filterwarnings("ignore", module="torch.onnx")
    torch.onnx.export(network, images, str(path), opset_version=13, dynamo=False)
    return compile_model(str(path), batch_size=len(images), num_cores=threads)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("coppice")
    parser.add_argument("checkpoint")
    parser.add_argument("--sparsity", default="0.8,0.9,0.95")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = torch.randn(32, 3, 32, 32)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            import deepsparse  # noqa: F401
            dense = engine(load(arguments.checkpoint), images, folder / "dense.onnx", arguments.threads)
        except ImportError:
            dense = None
        print("| removed | pass | ms (least–largest) | beside Coppice |\n|---|---|---|---|")
        for sparsity in map(float, arguments.sparsity.split(",")):
            network = pruned(arguments.checkpoint, sparsity)
            sparse = dense and engine(network, images, folder / "sparse.onnx", arguments.threads)
            rounds = []
            for _ in range(arguments.rounds):
                times = coppice(arguments, sparsity, folder)
                times |= pytorch(network, images)
                if dense:
                    batch = [images.numpy()]
                    times["DeepSparse, dense"] = seconds(lambda: dense.run(batch))
                    times["DeepSparse"] = seconds(lambda: sparse.run(batch))
                rounds.append(times)
            own = statistics.median(times["Coppice"] for times in rounds)
            for side in rounds[0]:
                values = sorted(1e3 * times[side] for times in rounds)
                median = statistics.median(values)
                print(f"| {sparsity:.0%} | {side} | {median:.2f} ({values[0]:.2f}–{values[-1]:.2f}) | {median / 1e3 / own:.2f} |")


if __name__ == "__main__":
    main()
