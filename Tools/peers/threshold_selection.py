#!/usr/bin/env python3
"""Compares Coppice's exact threshold selection with PyTorch's, in one run on one machine.

Masks: global L1 pruning of several layers by torch.nn.utils.prune and by Coppice's kernels must agree, except among
weights whose magnitude equals the threshold (PyTorch leaves their order open; Coppice takes the earliest).
Time: from weights to mask for one large tensor, against torch.kthvalue, torch.topk and torch.nn.utils.prune.

The kernels are compiled here from Sources/CKernels as the package compiles them (-O2, no machine flags).
Needs torch, numpy and a C compiler. Prints one JSON object.

    python3 Tools/peers/threshold_selection.py [--weights 100000000] [--threads 1 2]
"""

import argparse
import ctypes
import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import torch
from torch.nn.utils import prune

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = ROOT / "Sources" / "CKernels"
BUCKETS = 2048


def build_kernels(folder):
    library = pathlib.Path(folder) / "selection.so"
    sources = [KERNELS / f"{name}.c" for name in ("selection", "pruning_scores", "thread_pool", "cpu_features")]
    command = ["cc", "-O2", "-shared", "-fPIC", f"-I{KERNELS / 'include'}", *map(str, sources), "-o", str(library)]
    subprocess.run([*command, "-lpthread"], check=True)
    kernels = ctypes.CDLL(str(library))
    kernels.coppice_first_non_finite.restype = ctypes.c_long
    kernels.coppice_selection_mask.restype = ctypes.c_long
    return kernels


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def magnitude_masks(kernels, tensors, removed):
    """Bitmaps that keep all but the `removed` smallest |w| of all tensors, by the passes of ExactSelection."""
    scores = []
    for weights in tensors:
        if kernels.coppice_first_non_finite(pointer(weights), ctypes.c_long(weights.size)) >= 0:
            raise ValueError("non-finite weight")
        score = np.empty_like(weights)
        kernels.coppice_absolute(pointer(weights), ctypes.c_long(weights.size), pointer(score))
        scores.append(score)
    rank, prefix = removed - 1, 0
    for level in range(3):
        counts = np.zeros(BUCKETS, dtype=np.uint64)
        for score in scores:
            kernels.coppice_selection_count(
                pointer(score), ctypes.c_long(score.size), level, ctypes.c_uint32(prefix), pointer(counts))
        total = np.cumsum(counts)
        digit = int(np.searchsorted(total, rank, side="right"))
        rank -= int(total[digit - 1]) if digit else 0
        prefix = prefix << (10 if level == 2 else 11) | digit
    masks, ties = [], rank + 1
    for score in scores:
        words = np.zeros((score.size + 63) // 64, dtype=np.uint64)
        ties -= kernels.coppice_selection_mask(
            pointer(score), ctypes.c_long(score.size), ctypes.c_uint32(prefix), ctypes.c_long(ties), pointer(words))
        masks.append(words)
    return masks


def unpack(words, count):
    return np.unpackbits(words.view(np.uint8), bitorder="little")[:count].astype(bool)


def compare_masks(kernels, sparsity, rounded):
    """Global L1 pruning of five layers of different scales: how many mask entries differ, and of which magnitude."""
    torch.manual_seed(0)
    shapes = ((512, 768), (768, 512), (512, 512), (512, 1376), (300, 7))
    layers = [torch.nn.Linear(*shape, bias=False) for shape in shapes]
    for index, layer in enumerate(layers):
        with torch.no_grad():
            layer.weight.normal_(std=0.02 * (index + 1))
            if rounded:  # many ties, as in quantized or bf16 weights
                layer.weight.copy_(layer.weight.bfloat16().float())
    weights = [layer.weight.detach().numpy().reshape(-1).copy() for layer in layers]
    total = sum(w.size for w in weights)
    removed = int(sparsity * total)
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=removed)
    theirs = np.concatenate([layer.weight_mask.numpy().reshape(-1).astype(bool) for layer in layers])
    ours = np.concatenate([unpack(m, w.size) for m, w in zip(magnitude_masks(kernels, weights, removed), weights)])
    magnitudes = np.abs(np.concatenate(weights))
    threshold = np.sort(magnitudes)[removed - 1]
    differing = ours != theirs
    assert (~ours).sum() == (~theirs).sum() == removed, "the counts differ"
    assert (magnitudes[differing] == threshold).all(), "masks differ beside ties"
    return {
        "sparsity": sparsity, "weights": total, "removed": removed, "bf16_values": rounded,
        "at_threshold": int((magnitudes == threshold).sum()), "differing_among_ties": int(differing.sum()),
        "differing_otherwise": int((magnitudes[differing] != threshold).sum()),
    }


def best(function, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def time_selection(kernels, count, threads, repeats):
    torch.set_num_threads(threads)
    kernels.coppice_set_thread_count(threads)
    generator = np.random.default_rng(1)
    weights = (generator.standard_normal(count, dtype=np.float32) * np.float32(0.02))
    tensor = torch.from_numpy(weights)
    removed = count // 2

    def with_kthvalue():
        magnitude = tensor.abs()
        return magnitude > magnitude.kthvalue(removed).values

    def with_topk():
        magnitude = tensor.abs()
        mask = torch.ones(count, dtype=torch.bool)
        mask[magnitude.topk(removed, largest=False, sorted=False).indices] = False
        return mask

    def with_prune():
        layer = torch.nn.Linear(1, 1, bias=False)
        layer.weight = torch.nn.Parameter(tensor.view(1, -1), requires_grad=False)
        prune.global_unstructured([(layer, "weight")], prune.L1Unstructured, amount=removed)

    seconds = {
        "coppice": best(lambda: magnitude_masks(kernels, [weights], removed), repeats),
        "torch_kthvalue": best(with_kthvalue, repeats),
        "torch_topk": best(with_topk, repeats),
        "torch_prune_global_l1": best(with_prune, repeats),
    }
    return {
        "weights": count, "threads": threads, "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "times_faster": {
            name: round(value / seconds["coppice"], 1) for name, value in seconds.items() if name != "coppice"},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=int, default=100_000_000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kernels = build_kernels(folder)
        result = {
            "torch": torch.__version__,
            "masks": [compare_masks(kernels, s, rounded) for rounded in (False, True) for s in (0.1, 0.5, 0.9)],
            "time": [time_selection(kernels, options.weights, n, options.repeats) for n in options.threads],
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
