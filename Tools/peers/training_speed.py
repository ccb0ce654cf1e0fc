#!/usr/bin/env python3
"""Compares Coppice's training steps with PyTorch's on the same models, in one run.

usage: training_speed.py [--coppice "coppice bench --train --json"] [--threads 2] [--rounds 3] [--steps 5]
                         [--workload NAME]... [--precision f32|bf16]...

Workloads: llama-3m, llama-10m (transformers' Llama; AdamW, gradients clipped to norm 1) and resnet-20 (128 images of
3 x 32 x 32; momentum 0.9, decay 1e-4). bf16 is Coppice's mixed precision and PyTorch's autocast. Both sides run on
noise. They take turns, so that a machine whose speed drifts is fair to both; PyTorch runs ResNet-20 in its usual memory
format and with channels last, and the faster one counts.
Prints one JSON line for each workload and precision: the median tokens or images a second of each over all rounds,
Coppice's as a multiple of PyTorch's, and that ratio in each round. Needs torch and transformers.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time

LLAMAS = {
    "llama-3m": dict(vocab_size=4096, hidden_size=192, intermediate_size=512, num_hidden_layers=6,
                     num_attention_heads=6, num_key_value_heads=2),
    "llama-10m": dict(vocab_size=8192, hidden_size=256, intermediate_size=688, num_hidden_layers=10,
                      num_attention_heads=8, num_key_value_heads=8),
}
BATCHES = {"llama-3m": 16, "llama-10m": 8, "resnet-20": 128}
COLUMNS, WARMUP = 256, 2


def timed(steps, batch, run):
    """Seconds of each step after the warm-up; making the step's batch does not count."""
    seconds = []
    for step in range(steps + WARMUP):
        own = batch()
        start = time.perf_counter()
        run(*own)
        if step >= WARMUP:
            seconds.append(time.perf_counter() - start)
    return seconds


def torch_llama(name, precision, steps):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(
        max_position_embeddings=512, tie_word_embeddings=True, use_cache=False, **LLAMAS[name]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def run(tokens):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(tokens, labels=tokens).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    shape = (BATCHES[name], COLUMNS)
    return timed(steps, lambda: (torch.randint(0, LLAMAS[name]["vocab_size"], shape),), run)


def resnet20():
    """He et al. 2016, section 4.2, option A; modules that PyTorch runs as they are."""
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.missing = outputs - inputs

        def forward(self, x):
            y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
            y = self.bn2(self.conv2(y))
            if self.missing:
                half = self.missing // 2
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
            return functional.relu(y + x, inplace=True)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
            self.blocks = nn.Sequential(*(
                Block(a, b, 2 if a != b else 1) for a, b in zip(widths, widths[1:])))
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
            return self.fc(self.blocks(x).mean((2, 3)))

    return Network()


def torch_resnet(precision, steps, channels_last):
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = resnet20().to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)

    def run(images, classes):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(model(images.to(memory_format=layout)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    count = BATCHES["resnet-20"]
    return timed(steps, lambda: (torch.randn(count, 3, 32, 32), torch.randint(0, 10, (count,))), run)


def torch_seconds(workload, precision, steps):
    """Seconds of each step by the name of what was run."""
    if workload == "resnet-20":
        return {"torch": torch_resnet(precision, steps, False),
                "torch channels last": torch_resnet(precision, steps, True)}
    return {"torch": torch_llama(workload, precision, steps)}


def coppice_seconds(command, workload, precision, steps, threads):
    environment = dict(os.environ, COPPICE_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    command = shlex.split(command) + ["--workload", workload, "--precision", precision, "--steps", str(steps)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])["step_seconds"]


def compare(workload, precision, arguments):
    items = BATCHES[workload] * (1 if workload == "resnet-20" else COLUMNS)
    seconds, ratios = {}, []
    for number in range(arguments.rounds):
        own = coppice_seconds(arguments.coppice, workload, precision, arguments.steps, arguments.threads)
        peers = torch_seconds(workload, precision, arguments.steps)
        ratios.append(min(map(statistics.median, peers.values())) / statistics.median(own))
        for name, values in {"coppice": own, **peers}.items():
            seconds.setdefault(name, []).extend(values)
        print(f"{workload} {precision} round {number + 1}: {ratios[-1]:.2f}", file=sys.stderr)
    rates = {name: items / statistics.median(values) for name, values in seconds.items()}
    best = max((name for name in rates if name != "coppice"), key=rates.get)
    return {
        "workload": workload, "precision": precision, "threads": arguments.threads,
        "unit": "images/s" if workload == "resnet-20" else "tokens/s",
        **{name.replace(" ", "_"): round(rate, 1) for name, rate in rates.items()},
        "ratio": round(rates["coppice"] / rates[best], 3), "ratios": [round(ratio, 3) for ratio in ratios]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coppice", default="coppice bench --train --json")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--workload", action="append", choices=list(BATCHES))
    parser.add_argument("--precision", action="append", choices=["f32", "bf16"])
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    for workload in arguments.workload or BATCHES:
        for precision in arguments.precision or ["f32", "bf16"]:
            print(json.dumps(compare(workload, precision, arguments)), flush=True)


if __name__ == "__main__":
    main()
