#!/usr/bin/env python3
"""Writes a Llama model of random weights, as a Hugging Face folder and as GGUF, to measure speed with.

usage: random_llama.py FOLDER [--seed 0] [--layers 24]

Hidden 1024, feed-forward 4096, 24 layers, 16 heads (4 for keys and values), 32,000 tokens: 430 million parameters.
FOLDER/model holds bf16 safetensors, FOLDER/model-f16.gguf the same numbers. Needs numpy, torch, safetensors and gguf.
"""
import argparse
import json
import os

import gguf
import torch
from safetensors.torch import save_file

HIDDEN, INNER, HEADS, KEY_HEADS, VOCABULARY, CONTEXT = 1024, 4096, 16, 4, 32000, 4096
HEAD = HIDDEN // HEADS
MATRICES = {  # Hugging Face's name, GGUF's name, outputs, inputs
    "self_attn.q_proj": ("attn_q", HIDDEN, HIDDEN), "self_attn.k_proj": ("attn_k", KEY_HEADS * HEAD, HIDDEN),
    "self_attn.v_proj": ("attn_v", KEY_HEADS * HEAD, HIDDEN), "self_attn.o_proj": ("attn_output", HIDDEN, HIDDEN),
    "mlp.gate_proj": ("ffn_gate", INNER, HIDDEN), "mlp.up_proj": ("ffn_up", INNER, HIDDEN),
    "mlp.down_proj": ("ffn_down", HIDDEN, INNER),
}


def interleaved(weight, heads):
    """The rows of a query or key matrix in the order that GGUF's rotary embedding pairs them: 0, n / 2, 1, ..."""
    rows = torch.arange(weight.shape[0]).reshape(heads, 2, HEAD // 2).transpose(1, 2).reshape(-1)
    return weight[rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=24)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    os.makedirs(f"{arguments.folder}/model", exist_ok=True)

    writer = gguf.GGUFWriter(f"{arguments.folder}/model-f16.gguf", "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(arguments.layers)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HEAD)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(1)
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += [f"▁w{number}" for number in range(VOCABULARY - len(pieces))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores([-float(rank) for rank in range(VOCABULARY)])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (VOCABULARY - 259))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    weights = {}

    def add(name, other, weight, heads=None):
        weights[name] = weight.to(torch.bfloat16)
        exact = weights[name].float()
        if heads:
            exact = interleaved(exact, heads)
        writer.add_tensor(other, exact.numpy() if exact.dim() == 1 else exact.half().numpy())

    add("model.embed_tokens.weight", "token_embd.weight", torch.randn(VOCABULARY, HIDDEN) * 0.02)
    for layer in range(arguments.layers):
        for name, (other, rows, columns) in MATRICES.items():
            heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(other)
            weight = torch.randn(rows, columns) * columns**-0.5
            add(f"model.layers.{layer}.{name}.weight", f"blk.{layer}.{other}.weight", weight, heads)
        for name, other in (("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")):
            add(f"model.layers.{layer}.{name}.weight", f"blk.{layer}.{other}.weight", 1 + torch.randn(HIDDEN) * 0.05)
    add("model.norm.weight", "output_norm.weight", 1 + torch.randn(HIDDEN) * 0.05)
    add("lm_head.weight", "output.weight", torch.randn(VOCABULARY, HIDDEN) * 0.02)

    save_file(weights, f"{arguments.folder}/model/model.safetensors", metadata={"format": "pt"})
    with open(f"{arguments.folder}/model/config.json", "w") as file:
        json.dump({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
            "intermediate_size": INNER, "num_hidden_layers": arguments.layers, "num_attention_heads": HEADS,
            "num_key_value_heads": KEY_HEADS, "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False,
            "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"}, file, indent=1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
