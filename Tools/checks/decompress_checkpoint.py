#!/usr/bin/env python3
"""Decompress a folder with the Python library compressed-tensors and compare every matrix with a dense folder.

    decompress_checkpoint.py FOLDER DENSE

FOLDER is what `coppice convert --to compressed-tensors` wrote, DENSE the same model from `--to safetensors --type f32`.
Matrices are equal where scales and values are f32; else they must be the dense ones rounded to that type. Sparse
layouts need a version of the library until 0.14. Exit status 1 when a matrix differs. Needs torch and safetensors.
"""

import json
import pathlib
import sys

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file


def load(folder):
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


def decompress(state, module, config):
    if "compressed" in state:
        from compressed_tensors.compressors.sparse_compressors import sparse_24_bitmask, sparse_bitmask
        if "row_offsets" in state:
            return sparse_bitmask.BitmaskTensor(**state).decompress()
        return sparse_24_bitmask.Sparse24BitMaskTensor.from_compressed_data(**state).decompress()
    schemes = [s for s in config.config_groups.values() if module in s.targets or "Linear" in s.targets]
    if len(schemes) != 1 or module in config.ignore:
        sys.exit(f"{module}: config.json gives it {len(schemes)} schemes")
    compressor = BaseCompressor.get_value_from_registry(config.format)
    if hasattr(compressor, "decompress_weight"):  # until 0.14
        return compressor(config=config).decompress_weight(state, quantization_args=schemes[0].weights)
    return compressor.decompress(state, schemes[0])["weight"]


def main():
    folder, dense = sys.argv[1:]
    quantization = json.loads((pathlib.Path(folder) / "config.json").read_text())["quantization_config"]
    config = QuantizationConfig(**{key: value for key, value in quantization.items() if key != "sparsity_config"}) \
        if "config_groups" in quantization else None
    tensors, expected = load(folder), load(dense)
    modules = {name.rpartition(".")[0] for name in tensors if name.endswith((".weight_packed", ".compressed"))}
    different = 0
    for module in sorted(modules):
        state = {name.rpartition(".")[2]: tensor for name, tensor in tensors.items()
                 if name.rpartition(".")[0] == module and not name.endswith(".bias")}
        found = decompress(state, module, config)
        if not torch.equal(found, expected[module + ".weight"].to(found.dtype)):
            print(module, "differs by at most", (found - expected[module + ".weight"]).abs().max().item())
            different += 1
    for name in expected.keys() & tensors.keys():
        different += not torch.equal(tensors[name], expected[name].to(tensors[name].dtype))
    print(f"{folder}: {len(modules)} matrices decompressed, {different} tensors differ")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
