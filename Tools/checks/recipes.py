#!/usr/bin/env python3
"""Runs every recipe of Recipes/ through the program, from the file to the evaluated model, and checks what comes out.

usage: recipes.py [PROGRAM] --data DATA [--epochs 1 | --full] [--only NAME,…] [--keep FOLDER] [--markdown]

DATA holds text/, fashion-mnist/, cifar10-jpeg/ and resnet-cifar/. Recipes that train (train-*) are trained, evaluated and
inspected, and language models go on with a text. Recipes for language models compress the built-in one, and train on a text where they
do; those for vision networks compress LeNet-300-100, trained by train-lenet-fashion, and the ResNet-20 of DATA, recipes for new networks new
ones. Trainings are cut to --epochs unless --full says that recipes run as they are (train-tales and train-resnet20-cifar,
which take hours, are always cut).

A recipe passes when each command ends with status 0, `evaluate` of the written model gives the quality that the command
reported, `inspect` gives its bytes and zeros, what was compressed is smaller, and a second run that takes no longer than
ten seconds writes the same bytes. Prints one line for each, and fails when any fails.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPES = ROOT / "Recipes"
VISION = ("vision-", "resnet-", "synflow-")
# Recipes that start from a network that is not trained, and recipes of one architecture.
NEW = ("vision-rigl-90", "vision-ticket")
ONLY_ON = {"resnet-2of4": "resnet20", "resnet-bip-filters-half": "resnet20"}
# Epochs that training recipes are cut to even with --full, and otherwise.
LONG = {"train-tales": 0.02, "train-resnet20-cifar": 1}
SHORT = {"train-tales": 0.01, "train-resnet20-cifar": 0.25, "train-lenet-fashion": 3, "train-resnet20-gates-fashion": 1,
         "train-fastgrnn-fashion": 2, "train-vit-fashion": 2}


class Failure(Exception):
    """What is wrong with a recipe, in one line."""


class Check:
    def __init__(self, arguments, folder):
        self.program = str(pathlib.Path(arguments.program).resolve())
        self.data = pathlib.Path(arguments.data).resolve()
        self.arguments = arguments
        self.folder = folder
        self.networks = {}

    # Running the program

    def run(self, *words, answers=True):
        """What a command prints as JSON; fails with its last line."""
        words = [str(word) for word in words]
        command = [self.program, *words, "--threads", str(self.arguments.threads)]
        result = subprocess.run(
            command + (["--json"] if answers else []), cwd=self.folder, capture_output=True, text=True)
        if result.returncode != 0:
            lines = (result.stderr.strip() or result.stdout.strip() or "no message").splitlines()
            raise Failure(f"{words[0]}: status {result.returncode}: {lines[-1][:300]}")
        return json.loads(result.stdout) if answers else result.stdout

    def epochs(self, path):
        """The epochs of the recipe's training; None where it names none."""
        return max(map(float, re.findall(r"\bepochs: ([0-9.]+)", path.read_text())), default=None)

    def shortened(self, path, most):
        """The training recipe itself, or a copy that trains for fewer epochs."""
        epochs = self.epochs(path)
        if epochs is None or epochs <= most:
            return path
        copy = self.folder / path.name
        copy.write_text(re.sub(r"\bepochs: [0-9.]+", f"epochs: {most:g}", path.read_text()))
        return copy

    # Parts of a check

    def evaluated(self, model, images):
        """The quality of a model: (name, value), checked to be a number."""
        if images is None:
            name, value = "perplexity", self.run("evaluate", model)["perplexity"]
        else:
            name, value = "accuracy", self.run("evaluate", model, "--images", images)["accuracy"]
        if not math.isfinite(value):
            raise Failure(f"evaluate: {name} {value}")
        return name, value

    def expect_equal(self, what, first, second):
        if not math.isclose(first, second, rel_tol=1e-6, abs_tol=1e-9):
            raise Failure(f"{what}: {first} and {second}, expected equal numbers")

    def digest(self, model):
        return hashlib.sha256((self.folder / model / "model.safetensors").read_bytes()).hexdigest()

    def unit(self, name, path):
        return f"{name}-{len(list(self.folder.iterdir()))}"

    # Recipes

    def train(self, path):
        name, data = path.stem, self.data
        cut = LONG if self.arguments.full else {**SHORT}
        recipe = self.shortened(path, cut.get(name, math.inf))
        output = self.unit(name, path)
        report = self.run("train", recipe, "--output", output, "--data", data)
        totals = self.run("inspect", output)["totals"]
        images = re.search(r"^ *directory: (.*)$", path.read_text(), re.MULTILINE)
        row = {"model": report.get("architecture", "language model"), "after": totals["bytes"], "before": None}
        if images:
            folder = self.folder / images[1] if (self.folder / images[1]).exists() else data / images[1]
            row["quality"] = self.evaluated(output, folder)
            self.expect_equal("accuracy of train and evaluate", report["test_accuracy"], row["quality"][1])
        else:
            row["quality"] = self.evaluated(output, None)
            words = self.run("generate", output, "--prompt", "Once upon a time", "--max-tokens", 8, answers=False)
            if not words.strip():
                raise Failure("generate: no text")
        gates = report.get("gates")
        if gates:
            row["before"] = 4 * gates["parameters_before"]
            if not gates["parameters_after"] < gates["parameters_before"]:
                raise Failure("gates: nothing was cut out")
        pruning = report.get("pruning")
        if pruning:
            if abs(pruning["sparsity"] - pruning["final_sparsity"]) > 0.001:
                raise Failure(f"sparsity {pruning['sparsity']}, asked for {pruning['final_sparsity']}")
        return row

    def compress(self, path, model, images):
        words = ["--data", images] if images else []
        if not self.arguments.full and (self.epochs(path) or 0) > self.arguments.epochs:
            words += ["--epochs", self.arguments.epochs]
        if not images and "training:" in path.read_text():
            words = ["--calibration", self.folder / "tales.txt"]
        output = self.unit(path.stem, path)
        started = time.monotonic()
        report = self.run("compress", model, "--recipe", path, "--output", output, *words)
        seconds = time.monotonic() - started
        quality = self.evaluated(output, images)
        key = quality[0]
        self.expect_equal(f"{key} of compress and evaluate", report[f"{key}_after"], quality[1])
        totals = self.run("inspect", output)["totals"]
        self.expect_equal("bytes of compress and inspect", report["bytes_after"], totals["bytes"])
        if not report["bytes_after"] < report["bytes_before"]:
            raise Failure(f"{report['bytes_before']} bytes became {report['bytes_after']}")
        if "prune:" in path.read_text() and not (report["sparsity"] > 0 or "granularity" in path.read_text()):
            raise Failure("nothing was removed")
        if seconds < 10:
            self.run("compress", model, "--recipe", path, "--output", output + "-again", *words, answers=False)
            if self.digest(output) != self.digest(output + "-again"):
                raise Failure("a second run wrote other bytes")
        return {
            "before": report["bytes_before"], "after": report["bytes_after"], "zeros": totals["sparsity"],
            "quality": quality, "quality_before": report[f"{key}_before"],
        }

    def network(self, name, is_new):
        """A vision network and its images."""
        images = self.data / {"lenet-300-100": "fashion-mnist", "resnet20": "cifar10-jpeg"}[name]
        if is_new:
            path = f"new-{name}"
            if path not in self.networks:
                size = ["--params", "100%"]
                self.run("precrop", name, *size, "--output", path)
                self.networks[path] = path
            return path, images
        if name == "resnet20":
            return self.data / "resnet-cifar" / "resnet20.safetensors", images
        if name not in self.networks:
            recipe = RECIPES / "train-lenet-fashion.yaml"
            self.run("train", recipe, "--output", name, "--data", self.data)
            self.networks[name] = name
        return self.networks[name], images

    # All of them

    def rows(self):
        only = set(self.arguments.only.split(",")) if self.arguments.only else None
        for path in sorted(RECIPES.glob("*.yaml")):
            name = path.stem
            if only and name not in only:
                continue
            if name.startswith("train-"):
                yield name, None, lambda: self.train(path)
            elif name.startswith(VISION):
                for network in ("lenet-300-100", "resnet20"):
                    if ONLY_ON.get(name, network) != network or network not in self.arguments.networks.split(","):
                        continue
                    yield name, network, lambda: self.compress(path, *self.network(network, name in NEW))
            else:
                yield name, "tales", lambda: self.compress(path, "tales", None)


def shown(quality, value):
    if value is None:
        return "–"
    return f"{value:.2f}" if quality == "perplexity" else f"{100 * value:.2f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", nargs="?", default=str(ROOT / ".build/release/coppice"))
    parser.add_argument("--data", default=os.environ.get("COPPICE_DATA"), required="COPPICE_DATA" not in os.environ)
    parser.add_argument("--epochs", type=float, default=1, help="that trainings of compression recipes are cut to")
    parser.add_argument("--full", action="store_true", help="recipes as they are")
    parser.add_argument("--only", help="names, separated by commas")
    parser.add_argument("--networks", default="lenet-300-100,resnet20", help="that vision recipes are run on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", help="a new folder for what is written (default: one that is removed)")
    parser.add_argument("--markdown", action="store_true", help="rows of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments.keep or temporary).resolve()
        if arguments.keep:
            folder.mkdir(parents=True)
        check = Check(arguments, folder)
        # What recipes call data: a text of one's own, and CIFAR-10.
        text = subprocess.run(
            ["xz", "-dc", str(check.data / "text" / "fairytales_valid.txt.xz")], capture_output=True, check=True).stdout
        (folder / "tales.txt").write_bytes(text[:400_000])
        (folder / "cifar-10").symlink_to(check.data / "cifar10-jpeg")
        failures = count = 0
        if arguments.markdown:
            print("| recipe | model | bytes before | after | zeros | before | after |\n|---|---|--:|--:|--:|--:|--:|")
        for name, model, run in check.rows():
            started = time.monotonic()
            count += 1
            try:
                row = run()
            except Failure as failure:
                failures += 1
                print(f"FAIL  {name:30} {model or '':14} {failure}", flush=True)
                continue
            quality, value = row["quality"]
            before = f"{row['before']:,}" if row["before"] else "–"
            zeros = f"{100 * row['zeros']:.1f} %" if "zeros" in row else "–"
            first = shown(quality, row.get("quality_before"))
            model = model or row["model"]
            if arguments.markdown:
                print(f"| `{name}` | {model} | {before} | {row['after']:,} | {zeros} | {first} | {shown(quality, value)} |",
                      flush=True)
            else:
                print(f"ok    {name:30} {model:14} {before:>9} → {row['after']:>9,} bytes  zeros {zeros:>6}  {quality} "
                      f"{first} → {shown(quality, value)}  {time.monotonic() - started:.1f} s", flush=True)
        print(f"{count} runs, {failures} failed", file=sys.stderr)
        sys.exit(failures > 0 or count == 0)


if __name__ == "__main__":
    main()
