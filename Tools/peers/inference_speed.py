#!/usr/bin/env python3
"""Compares Coppice's inference with llama.cpp's on the same model, in one run.

usage: inference_speed.py COPPICE FOLDER [--pairs int4:Q4_0,int8:Q8_0,bf16:F16] [--threads 2] [--rounds 5]

FOLDER is what random_llama.py wrote; quantized models are made beside it once. A pair names Coppice's form of the model
and llama.cpp's: int4 and int8 have a scale for every 32 weights, as Q4_0 and Q8_0 do; NAME.gguf is that file read by
Coppice. Engines take turns, so that a machine whose speed drifts is fair to both. Prints a table: the median tokens a
second of each in reading a prompt of 512 and in writing 64, and Coppice's as a multiple. Needs llama-cpp-python.
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time

PROMPT, ANSWER = 512, 64
RECIPES = {
    # The head in 8 bits, where llama.cpp has 6.56.
    "int4": "name: int4\nstages:\n  - quantize: { bits: 4, group_size: 32 }\n"
            "  - quantize: { bits: 8, group_size: 32, targets: lm_head }\n",
    "int8": "name: int8\nstages:\n  - quantize: { bits: 8, group_size: 32 }\n"
            "  - quantize: { bits: 8, group_size: 32, targets: lm_head }\n",
}
LLAMA_TYPES = {"Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15, "Q6_K": 18}


def coppice_model(program, folder, name):
    """Where Coppice's form of the model is."""
    if name == "bf16":
        return f"{folder}/model"
    path = f"{folder}/{name}"
    if name in RECIPES and not os.path.exists(path):
        with open(f"{folder}/{name}.yaml", "w") as file:
            file.write(RECIPES[name])
        subprocess.run(
            [program, "compress", f"{folder}/model", "--recipe", f"{folder}/{name}.yaml", "--output", path,
             "--skip-evaluation"], check=True, capture_output=True)
    return path


def coppice_rates(program, path, threads):
    """Tokens a second in reading and writing."""
    done = subprocess.run(
        [program, "bench", path, "--json", "--prompt-tokens", str(PROMPT), "--generate-tokens", str(ANSWER),
         "--repetitions", "1"],
        check=True, capture_output=True, text=True, env=dict(os.environ, COPPICE_THREADS=str(threads)))
    result = json.loads(done.stdout)
    return result["prefill_tok_s"], result["decode_tok_s"]


def llama_rates(path, threads):
    """Tokens a second of llama.cpp in reading and writing, after one pass for warming up."""
    import llama_cpp

    model = llama_cpp.Llama(
        path, n_ctx=PROMPT + ANSWER + 8, n_threads=threads, n_threads_batch=threads, n_batch=PROMPT, n_ubatch=PROMPT,
        verbose=False)
    prompt = [1] + [300 + index * 7919 % 20000 for index in range(PROMPT - 1)]
    for _ in range(2):
        model.reset()
        start = time.perf_counter()
        model.eval(prompt)
        middle = time.perf_counter()
        for index in range(ANSWER):
            model.eval([300 + index])
        end = time.perf_counter()
    return PROMPT / (middle - start), ANSWER / (end - middle)


def llama_file(folder, name):
    """Where llama.cpp's form of the model is."""
    source, path = f"{folder}/model-f16.gguf", f"{folder}/model-{name}.gguf"
    if name == "F16":
        return source
    if not os.path.exists(path):
        import llama_cpp

        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype = LLAMA_TYPES[name]
        if llama_cpp.llama_model_quantize(source.encode(), path.encode(), ctypes.byref(parameters)) != 0:
            sys.exit(f"llama.cpp could not write {path}")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coppice")
    parser.add_argument("folder")
    parser.add_argument("--pairs", default="int4:Q4_0,int8:Q8_0,bf16:F16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--llama", help=argparse.SUPPRESS)  # a round of llama.cpp in a process of its own
    arguments = parser.parse_args()
    if arguments.llama:
        print(json.dumps(llama_rates(arguments.llama, arguments.threads)))
        return
    print("| Coppice | llama.cpp | reading | ratio | writing | ratio |")
    print("|---|---|---:|---:|---:|---:|")
    for pair in arguments.pairs.split(","):
        ours_name, theirs_name = pair.split(":")
        ours_path = coppice_model(arguments.coppice, arguments.folder, ours_name)
        theirs_path = llama_file(arguments.folder, theirs_name)
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            ours.append(coppice_rates(arguments.coppice, ours_path, arguments.threads))
            done = subprocess.run(
                [sys.executable, __file__, arguments.coppice, arguments.folder, "--llama", theirs_path, "--threads",
                 str(arguments.threads)], check=True, capture_output=True, text=True)
            theirs.append(json.loads(done.stdout.strip().splitlines()[-1]))
        cells = []
        for kind in range(2):
            mine, other = (statistics.median(rates[kind] for rates in side) for side in (ours, theirs))
            cells += [f"{mine:.0f} / {other:.0f} tokens/s", f"**{mine / other:.2f}×**"]
        print(f"| {ours_name} | {theirs_name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
