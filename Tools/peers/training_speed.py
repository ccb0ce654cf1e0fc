#!/usr/bin/env python3
"""Compares Coppice's training steps with PyTorch's on the same model, in one run.

usage: training_speed.py [--coppice "coppice bench --train --json"] [--threads 2] [--rounds 3] [--steps 5]

Model: Llama, hidden 192, feed-forward 512, 6 layers, 6 heads (2 for keys and values), 4,096 tokens, tied embeddings;
batches of 16 windows of 256 tokens; AdamW. The two take turns, so that a machine whose speed drifts is fair to both.
Prints one JSON line: the median tokens a second of each over all rounds, and Coppice's as a multiple of PyTorch's.
Needs torch and transformers.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time

ROWS, COLUMNS, VOCABULARY = 16, 256, 4096


def torch_rates(threads, steps):
    """Tokens a second of each step of PyTorch, after two for warming up."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=192, intermediate_size=512, num_hidden_layers=6, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    rates = []
    for step in range(steps + 2):
        tokens = torch.randint(0, VOCABULARY, (ROWS, COLUMNS))
        start = time.perf_counter()
        loss = model(tokens, labels=tokens).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step >= 2:
            rates.append(ROWS * COLUMNS / (time.perf_counter() - start))
    return rates


def coppice_rates(command, threads):
    """Tokens a second of each step of Coppice."""
    environment = dict(os.environ, COPPICE_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    done = subprocess.run(shlex.split(command), check=True, capture_output=True, text=True, env=environment)
    result = json.loads(done.stdout.strip().splitlines()[-1])
    result = result.get("train", result)
    tokens = result["batch_size"] * result["sequence_length"]
    return [tokens / seconds for seconds in result["step_seconds"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coppice", default="coppice bench --train --json")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    ours, theirs = [], []
    for number in range(arguments.rounds):
        theirs += torch_rates(arguments.threads, arguments.steps)
        ours += coppice_rates(arguments.coppice, arguments.threads)
        print(f"round {number + 1}: torch {theirs[-1]:.0f}, coppice {ours[-1]:.0f} tokens/s", file=sys.stderr)
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(json.dumps({
        "threads": arguments.threads, "torch_tok_s": round(theirs, 1), "coppice_tok_s": round(ours, 1),
        "ratio": round(ours / theirs, 3)}))


if __name__ == "__main__":
    main()
