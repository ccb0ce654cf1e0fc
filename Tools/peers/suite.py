#!/usr/bin/env python3
"""Measures Coppice beside llama.cpp and PyTorch in one run, and writes the table of docs/performance.md.

usage: suite.py COPPICE [--rounds 5] [--threads 2] [--models FOLDER] [--venv FOLDER] [--wheels FOLDER]
                [--output docs/performance.md] [--json FILE]

Every round measures every side of every line once, one right after the other, and every second round in the other
order, so that a machine whose speed drifts is fair to all. A line shows the median over the rounds with the least and
the largest; its ratio is that of the two sides in the same round. Coppice's side is `coppice bench --suite`, which
makes the model's files in --models where they are missing (3.4 GB).

Peers run in a virtual environment, which is made in --venv where it is missing: PyTorch and transformers, and llama.cpp
compiled for this processor (llama-cpp-python; ten minutes or more on two cores). --wheels is a folder of wheels to
install from before any other place. Ends with a status other than 0 where any step fails; the table is written last.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import venv

from worker import Worker

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BEGIN, END = "<!-- table of Tools/peers/suite.py: begin -->", "<!-- end -->"
PACKAGES = ["numpy", "torch", "transformers"]

# A part of `coppice bench --suite`, the file that llama.cpp runs beside it, what to call both, targets of the ratios
# in reading and writing.
MODELS = [
    ("llama-int4", "q4_0", "int4, groups of 32", "Q4_0", 2.5, None),
    ("llama-q4_0", "q4_0", "the file Q4_0", "the same", None, None),
    ("llama-int8", "q8_0", "int8, groups of 32", "Q8_0", None, None),
    ("llama-q8_0", "q8_0", "the file Q8_0", "the same", None, None),
    ("llama-bf16", "f16", "bf16", "F16", None, 1.0),
    ("llama-f16", "f16", "the file F16", "the same", None, None),
    ("llama-q4_k_m", "q4_k_m", "the file Q4_K_M", "the same", None, None),
]
# A part, what PyTorch runs beside it, and each line: the figure's key, PyTorch's precision, title and unit.
TORCH_WORK = [
    ("train-llama", "llama-10m", [
        (f"{precision}_tok_s", precision, f"training in {precision}: Llama, 10.0 million parameters, 8 × 256 tokens",
         "tokens/s") for precision in ("f32", "bf16")]),
    ("train-resnet", "resnet-20", [
        (f"{precision}_images_s", precision, f"training in {precision}: ResNet-20, 128 images of 3 × 32 × 32",
         "images/s") for precision in ("f32", "bf16")]),
    ("selection", "selection", [
        ("mask_weights_s", "f32", "the mask of half of 20 million weights", "million/s")]),
    ("inverse-fisher", "inverse-fisher", [
        ("diagonal_weights_s", "f32", "diagonal of an inverse Fisher matrix, 64 gradients of a million weights",
         "million/s")]),
]
SPARSE_TARGETS = {"bitmask-90-bf16": 4.0, "groups-of-16-50-int4": 1.6, "groups-of-32-50-int4": 1.6}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coppice")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", default=str(ROOT / ".build/bench/models"))
    parser.add_argument("--venv", default=str(ROOT / ".build/bench/peers"))
    parser.add_argument("--wheels")
    parser.add_argument("--output", default=str(ROOT / "docs/performance.md"))
    parser.add_argument("--json", help="a file for all numbers of all rounds")
    return parser.parse_args()


def peers(folder, wheels):
    """The Python of an environment that has the peers."""
    python = f"{folder}/bin/python"
    if not os.path.exists(python):
        venv.create(folder, with_pip=True)
    if subprocess.run([python, "-c", "import llama_cpp, torch, transformers"], capture_output=True).returncode:
        say(f"installing peers in {folder}")
        install = [python, "-m", "pip", "install", "--quiet"]
        places = ["--find-links", wheels] if wheels else []
        subprocess.run([*install, *places, *PACKAGES], check=True)
        subprocess.run(
            [*install, "--no-binary", "llama-cpp-python", "llama-cpp-python"], check=True,
            env=dict(os.environ, CMAKE_ARGS="-DGGML_NATIVE=ON", CMAKE_BUILD_PARALLEL_LEVEL=str(os.cpu_count())))
    return python


def model_path(folder, part):
    """Where `coppice bench` keeps the model of a part."""
    form = part.removeprefix("llama-")
    return f"{folder}/llama-430m-{form}" + ("" if form in ("bf16", "int8", "int4") else ".gguf")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Coppice:
    """Coppice's side."""

    def __init__(self, arguments):
        self.command = [
            arguments.coppice, "bench", "--suite", "--json", "--models", arguments.models, "--threads",
            str(arguments.threads)]
        self.environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads))
        self.report = {}

    def measure(self, *parts, rounds=1):
        """The figures of each part, by its name."""
        done = subprocess.run(
            [*self.command, "--rounds", str(rounds), "--part", *parts], check=True, stdout=subprocess.PIPE, text=True,
            env=self.environment)
        self.report = json.loads(done.stdout)
        return self.report["parts"]


class Results:
    """What was measured, in lists with one number a round."""

    def __init__(self):
        self.values = {}

    def add(self, name, value):
        self.values.setdefault(name, []).append(value)

    def add_part(self, part, figures):
        for key, figure in figures.items():
            self.values.setdefault(f"{part}/{key}", []).extend(figure["rounds"])

    def summary(self, name, unit="", digits=None):
        return summary(self.values[name], unit, digits)

    def ratio(self, ours, theirs):
        return [a / b for a, b in zip(self.values[ours], self.values[theirs], strict=True)]


def summary(values, unit="", digits=None):
    """Median and, in brackets, the least and the largest."""
    def number(value):
        return f"{value:.{digits}f}" if digits is not None else f"{value:,.0f}" if value >= 10 else f"{value:.2f}"

    spread = f" ({number(min(values))}–{number(max(values))})" if len(values) > 1 else ""
    return f"{number(statistics.median(values))}{unit}{spread}"


def one_round(number, arguments, coppice, llama, torch, results):
    steps = []
    for form in dict.fromkeys(model[1] for model in MODELS):
        own = [part for part, file, *_ in MODELS if file == form]
        steps.append(lambda part=own[0]: results.add_part(part, coppice.measure(part)[part]))

        def peer(form=form):
            path = model_path(arguments.models, f"llama-{form}")
            for key, value in llama.ask(model=path, threads=arguments.threads).items():
                results.add(f"llama.cpp {form}/{key}", value)

        steps.append(peer)
        steps += [lambda part=part: results.add_part(part, coppice.measure(part)[part]) for part in own[1:]]
    for part, workload, figures in TORCH_WORK:
        steps.append(lambda part=part: results.add_part(part, coppice.measure(part)[part]))
        for _, precision, *_ in figures:
            steps.append(lambda workload=workload, precision=precision: results.add(
                f"torch {workload}/{precision}",
                torch.ask(workload=workload, precision=precision, steps=3, threads=arguments.threads)["rate"]))
    for step in steps if number % 2 == 0 else reversed(steps):
        step()


def times(values, target=None):
    text = f"**{statistics.median(values):.2f}×**"
    if len(values) > 1:
        text += f" ({min(values):.2f}–{max(values):.2f})"
    return text, "" if target is None else f"{target:.2f}".rstrip("0").rstrip(".") + "×"


def table(results):
    """The lines of the table."""
    lines = ["| measured | Coppice | beside it | ratio | target | limit of the machine |", "|---|---:|---:|---:|---:|---|"]

    def row(*cells):
        lines.append("| " + " | ".join(cells) + " |")

    for kind, key, verb in (
            (0, "prefill_tok_s", "reading a prompt of 512 tokens"), (1, "decode_tok_s", "writing 64 tokens")):
        for part, form, ours, theirs, *targets in MODELS:
            ratio, target = times(results.ratio(f"{part}/{key}", f"llama.cpp {form}/{key}"), targets[kind])
            share = f"{part}/" + ("decode_share_of_bandwidth" if kind else "prefill_share_of_peak")
            limit = results.summary(share, digits=2) if share in results.values else ""
            if limit:
                limit += " of the bandwidth" if kind else " of the peak"
            row(f"{verb}: {ours}, llama.cpp {theirs}", results.summary(f"{part}/{key}", " tokens/s"),
                results.summary(f"llama.cpp {form}/{key}", " tokens/s"), ratio, target, limit)
    for part, workload, figures in TORCH_WORK:
        for key, precision, title, unit in figures:
            ours, theirs = f"{part}/{key}", f"torch {workload}/{precision}"
            row(f"{title}, PyTorch", results.summary(ours, f" {unit}"), results.summary(theirs, f" {unit}"),
                times(results.ratio(ours, theirs))[0], "", "")
    for name, values in results.values.items():
        if name.startswith("sparse-decoding/"):
            shape, kind = name.split("/")[1:]
            ratio, target = times(values, SPARSE_TARGETS.get(kind))
            row(f"decoding {kind}, {shape.replace('x', ' × ')}", "", "own dense of the same bits", ratio, target, "")
    return lines


def machine(report, results, versions, arguments):
    """Where and how it was measured."""
    roofline = ", ".join(
        f"{title} {results.summary('roofline/' + key, f' {unit}', digits)}" for title, key, unit, digits in (
            ("memory is read at", "read_bandwidth_gb_s", "GB/s", 1), ("f32 peaks at", "f32_gop_s", "GOP/s", None),
            ("bf16 at", "bf16_gop_s", "GOP/s", None), ("8-bit integers at", "int8_gop_s", "GOP/s", None))
        if f"roofline/{key}" in results.values)
    return [
        f"Machine: {report['processor']}, {report['threads']} threads, kernels for {report['kernels']}; {roofline}. "
        + "Peers: " + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f". Medians of {arguments.rounds} rounds, in brackets the least and the largest.", "",
        "```", f"python3 Tools/peers/suite.py .build/release/coppice --rounds {arguments.rounds} "
        f"--threads {arguments.threads}", "```", ""]


def frame(path):
    """What is before and after the markers of a page; ends the program where they are not there."""
    text = pathlib.Path(path).read_text() if os.path.exists(path) else ""
    if text.count(BEGIN) != 1 or END not in text.split(BEGIN)[1]:
        sys.exit(f"{path}: expected a page with the markers {BEGIN} and {END}")
    before, rest = text.split(BEGIN)
    return before, rest.split(END, 1)[1]


def write(path, lines):
    """Puts the lines between the markers of a page."""
    before, after = frame(path)
    pathlib.Path(path).write_text(before + "\n".join([BEGIN, "", *lines, "", END]) + after)


def main():
    arguments = parse()
    frame(arguments.output)
    python = peers(arguments.venv, arguments.wheels)
    coppice, results = Coppice(arguments), Results()
    missing = [part for part, *_ in MODELS if not os.path.exists(model_path(arguments.models, part))]
    if missing:
        say(f"making models in {arguments.models}")
        coppice.measure(*missing)
    environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads), PYTHONUNBUFFERED="1")
    llama, torch = (Worker(python, str(HERE / name), environment) for name in ("llama_cpp_speed.py", "torch_speed.py"))
    for number in range(arguments.rounds):
        say(f"round {number + 1} of {arguments.rounds}")
        one_round(number, arguments, coppice, llama, torch, results)
    versions = {**llama.versions, **torch.versions}
    llama.close()
    torch.close()
    say("sparse weights")
    for part, figures in coppice.measure("roofline", "sparse-decoding", rounds=arguments.rounds).items():
        results.add_part(part, figures)
    lines = machine(coppice.report, results, versions, arguments) + table(results)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(
            {"versions": versions, **{key: value for key, value in coppice.report.items() if key != "parts"},
             "rounds": arguments.rounds, "values": results.values}, indent=1) + "\n")
    write(arguments.output, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
