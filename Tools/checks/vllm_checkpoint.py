#!/usr/bin/env python3
"""Loads what `coppice convert --to compressed-tensors` wrote with vLLM, and compares it with the dense matrices.

usage: vllm_checkpoint.py FOLDER DENSE [--text FILE] [--tokens 256]

FOLDER is the compressed checkpoint, DENSE the folder that `coppice convert --to safetensors` wrote of the same model.
vLLM runs both in bf16 and says the log-probability of every token of the text; prints the mean loss of each in nats a
token and the mean difference of the log-probabilities, and how each goes on. Needs vLLM; on a machine without a GPU its
build for CPUs.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

TEXT = """Once upon a time there was a little girl who lived with her mother in a small house near the forest. One day the
mother said to the girl: take this bread to your grandmother, for she is ill, and do not leave the path. The girl
promised to be good, and went away into the wood."""


def measure(folder, text, tokens):
    """Log-probabilities of the text's tokens, and the next 24 tokens as text; prints them for the other process."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM, SamplingParams

    model = LLM(folder, enforce_eager=True, dtype="bfloat16", max_model_len=tokens + 32)
    prompt = {"prompt_token_ids": model.get_tokenizer().encode(text)[:tokens]}
    answer = model.generate([prompt], SamplingParams(temperature=0, max_tokens=24, prompt_logprobs=0))[0]
    known = [next(iter(place.values())).logprob for place in answer.prompt_logprobs if place]
    print("RESULT", json.dumps((known, answer.outputs[0].text)))


def measured(folder, text, tokens):
    """What a process of its own says: vLLM does not give its memory back."""
    command = [sys.executable, __file__, folder, folder, "--alone", "--tokens", str(tokens), "--text", text]
    run = subprocess.run(command, capture_output=True, text=True)
    for line in run.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    sys.exit(f"{folder}: vLLM did not run it\n{run.stderr[-2000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("dense")
    parser.add_argument("--text", help="a file")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        return measure(arguments.folder, arguments.text, arguments.tokens)
    text = open(arguments.text, encoding="utf-8").read() if arguments.text else TEXT
    sides = {name: measured(name, text, arguments.tokens) for name in (arguments.folder, arguments.dense)}
    for name, (known, rest) in sides.items():
        print(f"{name}: {-statistics.mean(known):.4f} nats a token over {len(known)}, goes on {rest!r}")
    (first, _), (second, _) = sides.values()
    print(f"mean difference of log-probabilities: {statistics.mean(abs(a - b) for a, b in zip(first, second)):.4f}")


if __name__ == "__main__":
    main()
