#!/usr/bin/env python3
"""Compares Coppice's exact threshold selection with PyTorch's: global L1 pruning of several layers.

Masks must agree entry for entry, except among weights whose magnitude equals the threshold (PyTorch leaves their order
open; Coppice takes the earliest). The kernels are compiled here from Sources/CKernels as the package compiles them.
Needs torch, numpy and a C compiler. Prints one JSON object; fails where masks differ otherwise.
"""

import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile

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
    if not (~ours).sum() == (~theirs).sum() == removed:
        sys.exit("the counts differ")
    if (magnitudes[differing] != threshold).any():
        sys.exit("masks differ beside ties")
    return {
        "sparsity": sparsity, "weights": total, "removed": removed, "bf16_values": rounded,
        "at_threshold": int((magnitudes == threshold).sum()), "differing_among_ties": int(differing.sum()),
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        kernels = build_kernels(folder)
        masks = [compare_masks(kernels, s, rounded) for rounded in (False, True) for s in (0.1, 0.5, 0.9)]
    print(json.dumps({"torch": torch.__version__, "masks": masks}, indent=2))


if __name__ == "__main__":
    main()
