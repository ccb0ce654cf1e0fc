#!/usr/bin/env python3
"""Compares how fast Coppice, tiktoken and Hugging Face tokenizers encode a text, on one thread each, in one run.

usage: tokenizer_speed.py COPPICE GPT2_FOLDER TEXT [--rounds 3]

GPT2_FOLDER holds GPT-2's vocab.json and merges.txt. The three take turns; the fastest of the rounds counts (tokenizers,
the slowest, has one round only). Of the two peers the processor time is taken, of Coppice the time on the clock, so that a
busy machine makes the ratio smaller, never larger. Prints one JSON line and fails if their tokens differ in number.
Needs tiktoken and tokenizers.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


def rank_table(vocabulary):
    """Byte strings and ranks, as tiktoken wants them: GPT-2's numbers are the ranks."""
    own = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    alphabet = {chr(byte): byte for byte in own} | {chr(256 + index): byte for index, byte in enumerate(others)}
    pieces = json.loads(pathlib.Path(vocabulary).read_text())
    return {bytes(alphabet[c] for c in piece): rank for piece, rank in pieces.items() if piece != "<|endoftext|>"}


def timed(body):
    start = time.process_time()
    count = body()
    return count, time.process_time() - start


def main():
    import tiktoken
    from tokenizers import Tokenizer, models, pre_tokenizers

    parser = argparse.ArgumentParser()
    parser.add_argument("coppice")
    parser.add_argument("folder")
    parser.add_argument("text")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    vocabulary, merges = f"{options.folder}/vocab.json", f"{options.folder}/merges.txt"
    text = pathlib.Path(options.text).read_text()
    size = len(text.encode())

    ranks = rank_table(vocabulary)
    tik = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    hugging = Tokenizer(models.BPE.from_file(vocabulary, merges))
    hugging.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)

    rates = {"coppice": 0.0, "tiktoken": 0.0, "tokenizers": 0.0}
    counts = set()
    for round_number in range(options.rounds):
        output = subprocess.run(
            [options.coppice, "tokenize", options.folder, "--file", options.text, "--rate", "--json"],
            stdout=subprocess.PIPE, text=True, check=True).stdout
        result = json.loads(output)
        counts.add(result["tokens"])
        rates["coppice"] = max(rates["coppice"], result["bytes_per_second"])
        count, seconds = timed(lambda: len(tik.encode_ordinary(text)))
        counts.add(count)
        rates["tiktoken"] = max(rates["tiktoken"], size / seconds)
        if round_number == 0:
            count, seconds = timed(lambda: len(hugging.encode(text).ids))
            counts.add(count)
            rates["tokenizers"] = size / seconds
    print(json.dumps({
        "bytes": size, "tokens": sorted(counts), "bytes_per_second": rates,
        "times_tiktoken": rates["coppice"] / rates["tiktoken"],
        "times_tokenizers": rates["coppice"] / rates["tokenizers"],
    }))
    return 0 if len(counts) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
