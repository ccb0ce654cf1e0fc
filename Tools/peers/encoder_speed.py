#!/usr/bin/env python3
"""Size and speed of a compressed encoder: a BERT of random weights (base: 12 layers of 768), dense and by recipes.

    encoder_speed.py COPPICE [RECIPE...] [--folder DIR] [--layers N] [--rounds N] [--threads N] [--torch]

Writes the model and a text of random words into DIR (default: a temporary folder), compresses it by each recipe, measures
each model with `coppice evaluate` (16 windows of 128 tokens at once) in turns and prints bytes, zeros and tokens a second,
the median of the rounds. With --torch also transformers' forward pass of the same windows, in f32.

Without recipes: int8, 2:4, 2:4 in int8, 90 % of the weights by one threshold for all, stored as they are and in 8 bits.
Needs torch and transformers to make the model.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

import torch
from transformers import BertConfig, BertForMaskedLM

RECIPES = {
    "int8": "stages:\n  - quantize: { bits: 8 }\n",
    "2:4": "stages:\n  - prune: { method: magnitude, pattern: '2:4' }\n",
    "2:4, int8": "stages:\n  - prune: { method: magnitude, pattern: '2:4' }\n  - quantize: { bits: 8 }\n",
    "90 %": "prefer: size\nstages:\n  - prune: { method: magnitude, scope: global, sparsity: 0.9 }\n",
    "90 %, int8": "prefer: size\nstages:\n  - prune: { method: magnitude, scope: global, sparsity: 0.9 }\n"
                  "  - quantize: { bits: 8 }\n",
}
WINDOW, WINDOWS = 128, 16


def make(folder, layers):
    """The model, its vocabulary and a text of its words."""
    torch.manual_seed(1)
    config = BertConfig(num_hidden_layers=layers)
    model = BertForMaskedLM(config)
    model.save_pretrained(folder / "bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{number}" for number in range(config.vocab_size - 5)]
    (folder / "bert/vocab.txt").write_text("\n".join(words) + "\n")
    chosen = random.Random(1).choices(words[5:], k=(WINDOW - 2) * WINDOWS * 4)
    (folder / "text.txt").write_text(" ".join(chosen))
    return model.eval(), config


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("coppice")
    parser.add_argument("recipes", nargs="*")
    parser.add_argument("--folder")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--torch", action="store_true")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.folder or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    model, config = make(folder, arguments.layers)
    recipes = {name: pathlib.Path(name).read_text() for name in arguments.recipes} or RECIPES

    def run(*command):
        output = subprocess.run(
            [arguments.coppice, *map(str, command), "--json", "--threads", str(arguments.threads)],
            capture_output=True, text=True)
        if output.returncode != 0:
            raise SystemExit(output.stderr)
        return json.loads(output.stdout)

    models = {"dense": (folder / "bert", run("inspect", folder / "bert")["totals"])}
    for number, (name, text) in enumerate(recipes.items()):
        recipe, out = folder / f"recipe-{number}.yaml", folder / f"model-{number}"
        recipe.write_text(text)
        run("compress", folder / "bert", "--recipe", recipe, "--output", out, "--skip-evaluation")
        models[name] = (out, run("inspect", out)["totals"])
    rates = {name: [] for name in models}
    for _ in range(arguments.rounds):
        for name, (path, _) in models.items():
            measured = run("evaluate", path, "--text", folder / "text.txt", "--context", WINDOW)
            rates[name].append(measured["tokens_per_second"])
        if arguments.torch:
            torch.set_num_threads(arguments.threads)
            tokens = torch.randint(5, config.vocab_size, (WINDOWS, WINDOW))
            with torch.no_grad():
                hidden = model.bert(tokens).last_hidden_state
                start = time.perf_counter()
                hidden = model.bert(tokens).last_hidden_state
                model.cls(hidden[:, ::7])
                rates.setdefault("transformers, dense", []).append(tokens.numel() / (time.perf_counter() - start))
    print("| recipe | bytes | zeros | tokens/s |\n|---|---|---|---|")
    for name, own in rates.items():
        total = models.get(name, (None, None))[1]
        size, zeros = (f"{total['bytes']:,}", f"{100 * total['sparsity']:.1f} %") if total else ("", "")
        print(f"| {name} | {size} | {zeros} | {statistics.median(own):.0f} |")


if __name__ == "__main__":
    main()
