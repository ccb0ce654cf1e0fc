"""PyTorch's side of suite.py: training steps on noise, and two methods of compression.

A request is {"workload": W, "precision": "f32" or "bf16" (autocast), "steps": N, "threads": N}; the answer
{"rate": tokens or images a second at the median step, or million weights a second}. Workloads:

llama-10m       transformers' Llama with AdamW, gradients clipped to norm 1
resnet-20       128 images of 3 x 32 x 32, momentum 0.9, decay 1e-4; in PyTorch's usual memory format and with channels
                last, of which the faster counts
selection       the mask of half of 20 million weights, by kthvalue and by topk, of which the faster counts
inverse-fisher  the diagonal of the inverse Fisher matrix of 64 gradients of a million weights, by the Cholesky factor
                of their Gram matrix and one triangular solve, in f32

Needs torch and transformers.
"""
import statistics
import time

import torch
import transformers
from torch import nn
from worker import serve

VOCABULARY, WINDOWS, COLUMNS = 8192, 8, 256
IMAGES = 128
WARMUP = 1


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


def llama(precision, steps):
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=688, num_hidden_layers=10, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=512, tie_word_embeddings=True, use_cache=False))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def run(tokens):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(tokens, labels=tokens).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return timed(steps, lambda: (torch.randint(0, VOCABULARY, (WINDOWS, COLUMNS)),), run)


def resnet20():
    """He et al. 2016, section 4.2, option A; modules that PyTorch runs as they are."""
    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.missing = outputs - inputs

        def forward(self, x):
            y = nn.functional.relu(self.bn1(self.conv1(x)), inplace=True)
            y = self.bn2(self.conv2(y))
            if self.missing:
                half = self.missing // 2
                x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
            return nn.functional.relu(y + x, inplace=True)

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
            x = nn.functional.relu(self.bn1(self.conv1(x)), inplace=True)
            return self.fc(self.blocks(x).mean((2, 3)))

    return Network()


def resnet(precision, steps, layout):
    model = resnet20().to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)

    def run(images, classes):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = nn.functional.cross_entropy(model(images.to(memory_format=layout)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return timed(steps, lambda: (torch.randn(IMAGES, 3, 32, 32), torch.randint(0, 10, (IMAGES,))), run)


def fastest(body, runs=3):
    """Seconds of the fastest run."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        body()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def selection(count=20_000_000):
    weights = torch.randn(count) * 0.02

    def by_kthvalue():
        magnitude = weights.abs()
        return magnitude > magnitude.kthvalue(count // 2).values

    def by_topk():
        mask = torch.ones(count, dtype=torch.bool)
        mask[weights.abs().topk(count // 2, largest=False, sorted=False).indices] = False
        return mask

    return count / min(fastest(by_kthvalue), fastest(by_topk)) / 1e6


def inverse_fisher(gradients=64, weights=1_000_000, dampening=1e-5):
    rows = torch.randn(gradients, weights) / weights**0.5

    def diagonal():
        factor = torch.linalg.cholesky(rows @ rows.t() + gradients * dampening * torch.eye(gradients))
        solved = torch.linalg.solve_triangular(factor, rows, upper=False)
        return (1 - (solved * solved).sum(0)) / dampening

    return weights / fastest(diagonal) / 1e6


def measure(request):
    torch.set_num_threads(request["threads"])
    workload, precision, steps = (request.get(key) for key in ("workload", "precision", "steps"))
    if workload == "selection":
        return {"rate": selection()}
    if workload == "inverse-fisher":
        return {"rate": inverse_fisher()}
    if workload == "llama-10m":
        return {"rate": WINDOWS * COLUMNS / statistics.median(llama(precision, steps))}
    layouts = (torch.contiguous_format, torch.channels_last)
    return {"rate": max(IMAGES / statistics.median(resnet(precision, steps, layout)) for layout in layouts)}


if __name__ == "__main__":
    torch.manual_seed(0)
    serve(measure, {"torch": torch.__version__, "transformers": transformers.__version__})
