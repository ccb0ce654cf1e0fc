#!/usr/bin/env python3
"""Load a model folder with transformers and compare it with another.

    load_checkpoint.py FOLDER                    loads it, prints its class and number of parameters
    load_checkpoint.py FOLDER --reference OTHER  also runs both on the same random tokens in f32 and compares logits
    load_checkpoint.py FOLDER --reference OTHER --without 1,4 --tolerance 1e-4
                                                 what coppice prune-blocks left of OTHER: its layers 1 and 4 add nothing

Encoders (BERT, RoBERTa) are loaded with the head that fills gaps; other heads that their files hold are passed over. Exit
status 1 when loading leaves weights missing or unexpected, or when logits differ by more than --tolerance.
Needs torch and transformers.
"""

import argparse
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM


def load(folder):
    is_encoder = AutoConfig.from_pretrained(folder).model_type in ("bert", "roberta")
    model, report = (AutoModelForMaskedLM if is_encoder else AutoModelForCausalLM).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    problems = {key: sorted(map(str, value)) for key, value in report.items()
                if value and not (is_encoder and key == "unexpected_keys")}
    if problems:
        sys.exit(f"{folder}: {problems}")
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--reference")
    parser.add_argument("--without", default="", help="layers of the reference that add nothing")
    parser.add_argument("--tolerance", type=float, default=0.0)
    parser.add_argument("--tokens", type=int, default=40)
    arguments = parser.parse_args()
    model = load(arguments.folder)
    print(f"{arguments.folder}: {type(model).__name__}, "
          f"{sum(p.numel() for p in model.parameters())} parameters")
    if arguments.reference is None:
        return
    reference = load(arguments.reference)
    with torch.no_grad():
        for layer in [reference.model.layers[int(index)] for index in arguments.without.split(",") if index]:
            for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
                for parameter in projection.parameters():
                    parameter.zero_()
    ids = torch.randint(0, model.config.vocab_size, (1, arguments.tokens), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (model(ids).logits - reference(ids).logits).abs().max().item()
    print(f"largest difference of logits: {difference:g}")
    if difference > arguments.tolerance:
        sys.exit(1)


if __name__ == "__main__":
    main()
