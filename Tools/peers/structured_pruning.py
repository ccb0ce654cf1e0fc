#!/usr/bin/env python3
"""Measures channel pruning beside Torch-Pruning and torch.nn.utils.prune, on the same trained ResNet-20 for CIFAR.

usage: structured_pruning.py COPPICE CHECKPOINT DATA [--keep 0.7,0.5,0.3] [--epochs 2] [--seeds 3] [--threads 2]

COPPICE is the program, CHECKPOINT a safetensors file of a ResNet-20 (names of torchvision, the last layer `linear` or
`fc`), DATA a folder of CIFAR records with training and test images. With projected shortcuts all channels are pruned;
with padded ones the filters inside blocks, since Torch-Pruning 1.6.1 fails on channels that padding moves. For each
fraction of
multiplications that is kept, each criterion and each seed, both sides prune, count what is left, measure accuracy on
the test images, train by the same recipe (SGD with momentum, cosine, shifted and mirrored images), and measure again.
Times are those of pruning alone, each the first of its process: Coppice finds the channels to remove for the asked
fraction; Torch-Pruning is told the channel fraction that gives it, which a search outside the time has found. Prints
tables of Markdown. Needs torch, torch-pruning and safetensors.
"""
import argparse
import gzip
import json
import lzma
import pathlib
import statistics
import subprocess
import sys
import time

import torch
import torch_pruning
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RATE, MOMENTUM, DECAY, BATCH, SAMPLE = 0.01, 0.9, 5e-4, 128, 512


class Block(nn.Module):
    def __init__(self, inputs, outputs, is_projected):
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.padding = (outputs - inputs) // 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if is_projected and self.stride == 2:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, images):
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(images)))))
        if hasattr(self, "downsample"):
            images = self.downsample(images)
        elif self.stride == 2:
            images = functional.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return functional.relu(images + inner)


class ResNet20(nn.Module):
    def __init__(self, is_projected):
        super().__init__()
        self.is_projected = is_projected
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = (16, 16, 32, 64)
        for stage in (1, 2, 3):
            inputs, outputs = widths[stage - 1], widths[stage]
            blocks = [Block(inputs if place == 0 else outputs, outputs, is_projected) for place in range(3)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, images):
        features = functional.relu(self.bn1(self.conv1(images)))
        return self.linear(self.layer3(self.layer2(self.layer1(features))).mean((2, 3)))

    @property
    def blocks(self):
        return [block for stage in (self.layer1, self.layer2, self.layer3) for block in stage]


def load(checkpoint):
    weights = {name.replace("fc.", "linear."): value for name, value in load_file(checkpoint).items()}
    network = ResNet20(is_projected="layer2.0.downsample.0.weight" in weights)
    missing = [name for name in network.load_state_dict(weights, strict=False).missing_keys if "num_batches" not in name]
    if missing:
        raise SystemExit(f"{checkpoint}: no {missing[0]}, expected a ResNet-20")
    return network.eval()


def normalization(checkpoint):
    """Mean and deviation of each channel, as the checkpoint has them or else as usual."""
    with safe_open(checkpoint, "pt") as file:
        known = json.loads((file.metadata() or {}).get("coppice.vision", "{}"))
    return known.get("mean", MEAN), known.get("deviation", DEVIATION)


def records(folder, split, scale):
    """Images [n, 3, 32, 32], normalized, and labels [n]."""
    opener = {".gz": gzip.open, ".xz": lzma.open}
    data = b""
    for path in sorted(pathlib.Path(folder).rglob(f"*{split}*")):
        if ".bin" in path.name:
            with opener.get(path.suffix, open)(path, "rb") as file:
                data += file.read()
    if not data or len(data) % 3073:
        raise SystemExit(f"{folder}: no CIFAR records of the {split} images")
    rows = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(-1, 3073)
    images = rows[:, 1:].reshape(-1, 3, 32, 32).float() / 255
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in scale)
    return (images - mean) / deviation, rows[:, 0].long()


def accuracy(network, data):
    network.eval()
    with torch.no_grad():
        hits = sum((network(images).argmax(1) == labels).sum().item()
                   for images, labels in zip(data[0].split(500), data[1].split(500)))
    return 100 * hits / len(data[1])


def cost(network):
    multiplications, parameters = torch_pruning.utils.count_ops_and_params(network, torch.zeros(1, 3, 32, 32))
    return multiplications, parameters


def train(network, data, epochs, seed):
    generator = torch.Generator().manual_seed(seed)
    images, labels = data
    steps = epochs * ((len(labels) + BATCH - 1) // BATCH)
    optimizer = torch.optim.SGD(network.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(labels), generator=generator).split(BATCH):
            batch = functional.pad(images[chosen], (4, 4, 4, 4))
            shifts = torch.randint(0, 9, (len(chosen), 2), generator=generator).tolist()
            batch = torch.stack([image[:, y:y + 32, x:x + 32] for image, (y, x) in zip(batch, shifts)])
            mirrored = torch.rand(len(chosen), generator=generator) < 0.5
            batch[mirrored] = batch[mirrored].flip(3)
            optimizer.zero_grad()
            functional.cross_entropy(network(batch), labels[chosen]).backward()
            optimizer.step()
            schedule.step()


def torch_pruned(checkpoint, criterion, ratio, sample):
    """A network without a fraction of its channels, and the seconds that took."""
    network = load(checkpoint)
    start = time.perf_counter()
    if criterion == "taylor":
        importance = torch_pruning.importance.TaylorImportance()
        functional.cross_entropy(network(sample[0]), sample[1]).backward()
    else:
        importance = torch_pruning.importance.MagnitudeImportance(p=1 if criterion == "l1" else 2)
    ignored = [network.linear]
    if not network.is_projected:
        ignored += [network.conv1] + [block.conv2 for block in network.blocks]
    pruner = torch_pruning.pruner.BasePruner(
        network, torch.zeros(1, 3, 32, 32), importance=importance, global_pruning=True, pruning_ratio=ratio,
        max_pruning_ratio=0.9, ignored_layers=ignored)
    pruner.step()
    return network, time.perf_counter() - start


def first_time(arguments, criterion, ratio):
    """Seconds that Torch-Pruning takes in a new process."""
    command = [
        sys.executable, __file__, arguments.coppice, arguments.checkpoint, arguments.data, "--threads",
        str(arguments.threads), "--criteria", criterion, "--alone", str(ratio)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def sampled(data, seed):
    order = torch.randperm(len(data[1]), generator=torch.Generator().manual_seed(seed))[:SAMPLE]
    return data[0][order], data[1][order]


def torch_ratio(checkpoint, criterion, keep, sample, whole):
    """The smallest fraction of channels, in 128ths, that leaves at most `keep` of the multiplications."""
    low, high = 0, 127
    while low < high:
        middle = (low + high) // 2
        left = cost(torch_pruned(checkpoint, criterion, middle / 128, sample)[0])[0]
        low, high = (low, middle) if left <= keep * whole else (middle + 1, high)
    return low / 128


def masked_filters(checkpoint, ratio):
    """torch.nn.utils.prune: the filters inside blocks, by L1 norm, set to zero; nothing is smaller afterwards."""
    network = load(checkpoint)
    start = time.perf_counter()
    for block in network.blocks:
        prune.ln_structured(block.conv1, "weight", amount=ratio, n=1, dim=0)
        prune.remove(block.conv1, "weight")
    return network, time.perf_counter() - start


def coppice(arguments, seed, epochs, *options):
    """What `coppice prune-channels` says of the same network."""
    command = [
        arguments.coppice, "prune-channels", arguments.checkpoint, "--json", "--data", arguments.data,
        "--images", str(SAMPLE), "--epochs", str(epochs), "--rate", str(RATE), "--batch-size", str(BATCH), "--augment",
        "--seed", str(seed), "--threads", str(arguments.threads), *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def interval(values):
    spread = statistics.stdev(values) if len(values) > 1 else 0
    return f"{statistics.mean(values):.2f} ± {spread:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("coppice")
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    parser.add_argument("--keep", default="0.7,0.5,0.3")
    parser.add_argument("--criteria", default="l1,group,taylor")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scale = normalization(arguments.checkpoint)
    training, test = (records(arguments.data, split, scale) for split in ("train", "test"))
    if arguments.alone is not None:
        return print(torch_pruned(arguments.checkpoint, arguments.criteria, arguments.alone, sampled(training, 0))[1])
    dense = load(arguments.checkpoint)
    whole, parameters = cost(dense)
    print(f"dense: {accuracy(dense, test):.2f} %, {whole / 1e6:.1f} million multiplications, {parameters} parameters\n")
    print("| MACs kept | criterion | side | MACs left | parameters | pruning, ms | accuracy | after training |")
    print("|---|---|---|---|---|---|---|---|", flush=True)

    def row(keep, criterion, side, left, count, seconds, before, after):
        print(f"| {100 * keep:.0f} % | {criterion} | {side} | {100 * left:.1f} % | {count} | "
              f"{1000 * statistics.median(seconds):.0f} | {interval(before)} | {interval(after)} |", flush=True)

    for keep in map(float, arguments.keep.split(",")):
        for criterion in arguments.criteria.split(","):
            own, peer = [], []
            for seed in range(arguments.seeds):
                own.append(coppice(
                    arguments, seed, arguments.epochs, "--criterion", criterion, "--remove", str(1 - keep),
                    "--granularity", "channels" if dense.is_projected else "filters"))
                sample = sampled(training, seed)
                ratio = torch_ratio(arguments.checkpoint, criterion, keep, sample, whole)
                network, _ = torch_pruned(arguments.checkpoint, criterion, ratio, sample)
                seconds = first_time(arguments, criterion, ratio)
                measured = {"cost": cost(network), "seconds": seconds, "before": accuracy(network, test)}
                train(network, training, arguments.epochs, seed)
                peer.append(measured | {"after": accuracy(network, test)})
            last = own[-1]
            row(keep, criterion, "Coppice", last["multiplications_after"] / last["multiplications_before"],
                last["parameters_after"], [one["seconds"] for one in own],
                [100 * one["accuracy_after"] for one in own], [100 * one["accuracy_trained"] for one in own])
            row(keep, criterion, "Torch-Pruning", peer[-1]["cost"][0] / whole, peer[-1]["cost"][1],
                [one["seconds"] for one in peer], [one["before"] for one in peer], [one["after"] for one in peer])
    filters(arguments, test, whole)


def filters(arguments, test, whole):
    """The filters inside blocks, without training: what torch sets to zero, Coppice removes."""
    print("\n| filters inside blocks removed | side | MACs left | pruning, ms | accuracy |\n|---|---|---|---|---|")
    for ratio in (0.25, 0.5):
        own = coppice(
            arguments, 0, 0, "--criterion", "l1", "--allocation", "uniform", "--granularity", "filters", "--of",
            "channels", "--remove", str(ratio))
        network, seconds = masked_filters(arguments.checkpoint, ratio)
        for side, left, time_taken, right in (
                ("Coppice", own["multiplications_after"] / own["multiplications_before"], own["seconds"],
                 100 * own["accuracy_after"]),
                ("torch `ln_structured`", cost(network)[0] / whole, seconds, accuracy(network, test))):
            print(f"| {100 * ratio:.0f} % | {side} | {100 * left:.1f} % | {1000 * time_taken:.0f} | {right:.2f} |",
                  flush=True)


main()
