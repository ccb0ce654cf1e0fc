#!/usr/bin/env python3
"""Compares SparseGPT by Coppice with the algorithm written down in PyTorch, on the built-in model.

usage: sparsegpt.py [PROGRAM] --text FILE

The beginning of FILE is one calibration window. `method: sparsegpt` at 50 % and 2:4 and `recovery: reconstruct` run
through the program; here transformers runs the model, block by block, and every matrix is pruned in f64 by the inverse of
its Hessian, as published (arXiv:2301.00774, algorithm 1). With a given mask kept weights must agree to the rounding of
bf16, in which they are written. Where weights are chosen, the masks of the first block must agree entry for entry; in
later ones a choice between two that cost nearly the same may differ, and all that follows it then does a little more: 95 %
of all masks must agree. Prints one line for each, and fails when any fails.
Needs torch and transformers.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "Sources" / "coppice" / "Resources" / "tales"
STAGES = {
    "sparsegpt 50 %": "method: sparsegpt, sparsity: 0.5",
    "sparsegpt 2:4": 'method: sparsegpt, pattern: "2:4"',
    "magnitude 50 %, reconstruct": "method: magnitude, sparsity: 0.5, recovery: reconstruct",
}
BLOCK, DAMPENING = 128, 0.01


def smallest(cost, count):
    """Flags of so many of the smallest."""
    flags = torch.zeros(cost.numel(), dtype=torch.bool)
    flags[torch.argsort(cost.flatten(), stable=True)[:count]] = True
    return flags.view_as(cost)


def pruned(weight, hessian, stage):
    """A matrix by the published algorithm, in f64."""
    w, h = weight.double().clone(), hessian.clone()
    rows, columns = w.shape
    h.diagonal().add_(DAMPENING * h.diagonal().mean())
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    given = smallest(w.abs(), w.numel() // 2) if "magnitude" in stage else None
    for start in range(0, columns, BLOCK):
        end = min(start + BLOCK, columns)
        part, inner = w[:, start:end].clone(), u[start:end, start:end]
        errors = torch.zeros_like(part)
        gone = torch.zeros_like(part, dtype=torch.bool)
        if given is not None:
            gone = given[:, start:end]
        elif "2:4" not in stage:
            gone = smallest(part**2 / inner.diagonal() ** 2, part.numel() // 2)
        for column in range(end - start):
            if "2:4" in stage and column % 4 == 0:
                cost = part[:, column : column + 4] ** 2 / inner.diagonal()[column : column + 4] ** 2
                gone[:, column : column + 4].scatter_(1, torch.topk(cost, 2, dim=1, largest=False)[1], True)
            error = part[:, column] * gone[:, column] / inner[column, column]
            part[:, column:] -= error[:, None] * inner[column, column:][None]
            part[:, column][gone[:, column]] = 0
            errors[:, column] = error
        w[:, start:end] = part
        w[:, end:] -= errors @ u[start:end, end:]
    return w.to(weight.dtype)


def prune_model(stage, ids):
    """The whole model, each block behind the pruned ones before it."""
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    for layer in model.model.layers:
        hessians = {}
        linears = {name: module for name, module in layer.named_modules() if isinstance(module, torch.nn.Linear)}

        def observe(name):
            def hook(_, inputs):
                x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
                hessians[name] = x.T @ x

            return hook

        hooks = [module.register_forward_pre_hook(observe(name)) for name, module in linears.items()]
        model(ids)
        for hook in hooks:
            hook.remove()
        for name, module in linears.items():
            module.weight.data = pruned(module.weight.data, hessians[name], stage)
    return {name: value for name, value in model.state_dict().items() if "proj" in name}


def by_program(program, stage, text, length, folder):
    """The same by the program, as written."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"calibration: {{ samples: 1, sequence_length: {length} }}\nprefer: size\nstages: [{{ prune: {{ {stage} }} }}]\n")
    for words in (
        ["compress", MODEL, "--recipe", recipe, "--calibration", text, "--output", folder / "out", "--skip-evaluation"],
        ["convert", folder / "out", "--to", "safetensors", "--type", "f32", "--output", folder / "dense"],
    ):
        result = subprocess.run([str(program), *map(str, words)], capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(result.stderr.strip())
    return AutoModelForCausalLM.from_pretrained(folder / "dense", dtype=torch.float32).state_dict()


def agreeing(ours, theirs):
    """The part of all entries that both keep or both remove."""
    same = sum(((ours[key] == 0) == (value == 0)).sum().item() for key, value in theirs.items())
    return same / sum(value.numel() for value in theirs.values())


def main():
    parser = argparse.ArgumentParser(usage="sparsegpt.py [PROGRAM] --text FILE")
    parser.add_argument("program", nargs="?", default=ROOT / ".build" / "release" / "coppice")
    parser.add_argument("--text", required=True)
    arguments = parser.parse_args()
    text = pathlib.Path(arguments.text).read_text()[:1600]
    ids = AutoTokenizer.from_pretrained(MODEL)(text, add_special_tokens=False, return_tensors="pt").input_ids
    failed = False
    for name, stage in STAGES.items():
        with tempfile.TemporaryDirectory() as path, torch.no_grad():
            folder = pathlib.Path(path)
            (folder / "text.txt").write_text(text)
            ours = by_program(
                pathlib.Path(arguments.program).resolve(), stage, folder / "text.txt", ids.shape[1], folder)
            theirs = prune_model(stage, ids)
        agreement = agreeing(ours, theirs)
        first = agreeing(ours, {key: value for key, value in theirs.items() if ".layers.0." in key})
        distance = sum((ours[key] - value).square().sum().item() for key, value in theirs.items())
        relative = (distance / sum(value.square().sum().item() for value in theirs.values())) ** 0.5
        passes = first == 1 and agreement > 0.95
        if "reconstruct" in stage:
            passes = agreement == 1 and relative < 2**-8
        failed |= not passes
        print(
            f"{name:28} masks agree in {first:.3%} of the first block, {agreement:.3%} of all; weights differ by "
            f"{relative:.2e} {'' if passes else 'FAILED'}")
    sys.exit(failed)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers.utils.logging.disable_progress_bar()
    main()
