#!/usr/bin/env python3
"""Compares Coppice's WordPiece tokenizer with Hugging Face tokenizers: tokens, decoded text and speed.

usage: wordpiece.py COPPICE TEXT [--size 30000] [--random 2000000]

A vocabulary is learned from TEXT and stored as a tokenizer.json, uncased and cased, and as BERT's vocab.txt. Then TEXT
and a text of random characters of all kinds (scripts, ideographs, accents, combining marks, control characters, emoji,
very long words) are encoded and decoded by both. Characters whose properties are newer than the Unicode tables of
tokenizers are left out. For the speed both encode TEXT on one thread: the processor time of tokenizers, and of Coppice
the time on the clock. Prints one JSON line; fails where anything differs. Needs tokenizers.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unicodedata

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers  # noqa: E402

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
RANGES = [(0x20, 0x7e)] * 8 + [(0, 0x1f), (0x7f, 0xff), (0x100, 0x24f), (0x250, 0x2ff), (0x300, 0x36f), (0x370, 0x3ff),
          (0x400, 0x52f), (0x590, 0x6ff), (0x900, 0xdff), (0xe00, 0xfff), (0x1e00, 0x1fff), (0x2000, 0x2bff),
          (0x3000, 0x312f), (0x3400, 0x9fff), (0xac00, 0xd7a3), (0xe000, 0xe0ff), (0xf900, 0xffff), (0x1d100, 0x1d1ff),
          (0x1f300, 0x1faff), (0x20000, 0x2a6ff), (0x2f800, 0x2fa1f)]


def usable_characters():
    """Those of which the Unicode tables behind `tokenizers` and those of today say the same."""
    clean = normalizers.BertNormalizer(True, False, False, False)
    strip = normalizers.BertNormalizer(False, False, True, False)
    lower = normalizers.BertNormalizer(False, False, False, True)
    split = pre_tokenizers.BertPreTokenizer()
    for start, end in RANGES:
        kept = []
        for value in range(start, end + 1):
            c = chr(value)
            kind = unicodedata.category(c)
            if kind in ("Cn", "Cs"):
                continue
            is_removed = kind in ("Cc", "Cf", "Co") and c not in "\t\n\r" or c == "\ufffd"
            is_space = c in "\t\n\r" or c.isspace() and kind[0] == "Z"
            bare = "".join(x for x in unicodedata.normalize("NFD", c) if unicodedata.category(x) != "Mn")
            is_mark = kind[0] == "P" or value < 0x80 and kind[0] == "S"
            if (clean.normalize_str(c) == ("" if is_removed else " " if is_space else c)
                    and strip.normalize_str(c) == bare and lower.normalize_str(c) == c.lower()
                    and (len(split.pre_tokenize_str("a" + c + "a")) == 3) == is_mark):
                kept.append(c)
        yield kept


def random_text(length, generator):
    kinds = list(usable_characters())
    parts, count = [], 0
    while count < length:
        # Words of one kind mostly; some are longer than a word may be, some mix everything.
        kind = generator.choice(kinds)
        size = generator.choice([1, 2, 3, 5, 8, 12, 12, 99, 100, 101, 300] if generator.random() < 0.1 else [1, 2, 4, 6, 9])
        mixed = generator.random() < 0.15
        word = "".join(generator.choice(generator.choice(kinds) if mixed else kind) for _ in range(size))
        parts.append(word + generator.choice([" ", " ", "\n", "", ", ", "\u0301 ", "\u00a0"]))
        count += size + 1
    return "".join(parts)


def coppice(options, folder, file, *arguments):
    command = [options.coppice, "tokenize", str(folder), "--file", str(file), *arguments, "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def make(text, size, **normalizer):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        text, trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("coppice")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=30000)
    parser.add_argument("--random", type=int, default=2_000_000, help="characters of random text")
    options = parser.parse_args()
    text = options.text.read_text()
    result, failures = {}, []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        noise = random_text(options.random, random.Random(1))
        (folder / "noise.txt").write_bytes(noise.encode())
        training = [*text.split("\n"), *noise[:200_000].split("\n")]
        for name, normalizer in {"uncased": {}, "cased": {"lowercase": False}, "vocab": {}}.items():
            tokenizer = make(training, options.size, **normalizer) if name != "vocab" else reference  # noqa: F821
            path = folder / name
            path.mkdir()
            if name == "vocab":
                vocabulary = tokenizer.get_vocab()
                lines = sorted(vocabulary, key=vocabulary.get)
                (path / "vocab.txt").write_bytes("".join(line + "\n" for line in lines).encode())
            else:
                tokenizer.save(str(path / "tokenizer.json"))
            if name == "uncased":
                reference = tokenizer
            for kind, file, content in (("text", options.text, text), ("noise", folder / "noise.txt", noise)):
                ids = tokenizer.encode(content, add_special_tokens=False).ids
                own = coppice(options, path, file)
                if own["ids"] != ids:
                    place = next((i for i, (a, b) in enumerate(zip(own["ids"], ids)) if a != b), -1)
                    failures.append(f"{name} {kind}: token {place} of {len(ids)}")
                elif own["text"] != tokenizer.decode(ids, skip_special_tokens=False):
                    failures.append(f"{name} {kind}: decoded text")
                result[f"{name} {kind} tokens"] = len(ids)
                result[f"{name} {kind} unknown"] = ids.count(1)
        size = len(text.encode())
        own = coppice(options, folder / "uncased", options.text, "--rate")["bytes_per_second"]
        start = time.process_time()
        reference.encode(text, add_special_tokens=False)
        peer = size / (time.process_time() - start)
        result.update(bytes=size, bytes_per_second={"coppice": own, "tokenizers": peer}, times_tokenizers=own / peer)
    print(json.dumps({**result, "failures": failures}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
