#!/usr/bin/env python3
"""Measures time and memory of pruning a Llama of 100 million random weights by global magnitude.

usage: pruning_memory.py COPPICE FOLDER [--type bf16|f32] [--sparsity 0.5] [--rounds 3]

COPPICE is the program. Writes a checkpoint of random weights into FOLDER, prunes it with `coppice compress` under
`/usr/bin/time -v`, and prints seconds and the most memory that was resident, as a share of the weights' bytes too: what
the process holds of its own, and with the pages of the mapped checkpoint. Needs numpy.
"""
import argparse
import json
import os
import re
import struct
import subprocess

import numpy

HIDDEN, INNER, LAYERS, HEADS, KEY_HEADS, VOCABULARY = 1024, 4096, 6, 16, 4, 8192
HEAD = HIDDEN // HEADS
MATRICES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (KEY_HEADS * HEAD, HIDDEN),
    "self_attn.v_proj": (KEY_HEADS * HEAD, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN), "mlp.down_proj": (HIDDEN, INNER),
}


def write_checkpoint(folder, kind):
    """A Hugging Face folder; returns its weights' bytes and number."""
    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        for name, shape in MATRICES.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"model.layers.{layer}.{name}.weight"] = (HIDDEN,)
    width = 2 if kind == "bf16" else 4
    header, position = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = int(numpy.prod(shape)) * width
        header[name] = {"dtype": kind.upper(), "shape": shape, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    random = numpy.random.default_rng(0)
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            # Layers of different scale, so that one threshold takes different shares of them.
            scale = shape[-1] ** -0.5 * (1 + hash_of(name) % 5 / 4)
            values = random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(scale)
            if kind == "bf16":
                file.write((values.view(numpy.uint32) >> 16).astype(numpy.uint16).tobytes())
            else:
                file.write(values.tobytes())
    with open(f"{folder}/config.json", "w") as file:
        json.dump({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
            "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "num_key_value_heads": KEY_HEADS, "vocab_size": VOCABULARY, "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True,
            "torch_dtype": "bfloat16" if kind == "bf16" else "float32"}, file)
    return position, position // width


def hash_of(name):
    return sum(name.encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coppice")
    parser.add_argument("folder")
    parser.add_argument("--type", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model, output = f"{arguments.folder}/model-{arguments.type}", f"{arguments.folder}/pruned"
    size, count = write_checkpoint(model, arguments.type)
    recipe = f"{arguments.folder}/recipe.yaml"
    with open(recipe, "w") as file:
        file.write("stages:\n  - prune: { method: magnitude, scope: global, "
                   f"sparsity: {arguments.sparsity}, targets: \"*\" }}\n")
    print(f"{count:,} weights, {size:,} bytes of {arguments.type}")
    for number in range(arguments.rounds):
        run = subprocess.run(
            ["/usr/bin/time", "-v", arguments.coppice, "compress", model, "--recipe", recipe, "--output", output,
             "--skip-evaluation"], capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(run.stderr)
        minutes, seconds = re.search(r"Elapsed.*: (\d+):([\d.]+)\n", run.stderr).groups()
        resident = int(re.search(r"Maximum resident set size \(kbytes\): (\d+)", run.stderr)[1]) * 1024
        print(f"round {number + 1}: {int(minutes) * 60 + float(seconds):.2f} s, {resident / 1e6:.0f} MB resident at most, "
              f"{resident / size:.2f} of the weights")


if __name__ == "__main__":
    main()
