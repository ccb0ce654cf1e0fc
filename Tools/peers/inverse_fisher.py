#!/usr/bin/env python3
"""Times products with an inverse Fisher matrix as straightforward, vectorised PyTorch computes them.

Two forms, both in f32: the recursion of M-FAC's static algorithm with one matrix-vector pair a gradient, and the Gram
form (Cholesky of m * lambda * I + G G^T, one triangular solve for the diagonal). With --coppice its times for the same
sizes are measured in the same run. Also prints the machine's matrix product rate, and the error of each diagonal against
f64. Prints one JSON object a size.

    python3 Tools/peers/inverse_fisher.py [--weights 1000000] [--gradients 64 128 256] [--rounds 5] [--threads 1]
        [--coppice .build/release/coppice]
"""

import argparse
import json
import subprocess
import time

import torch

LAMBDA = 1e-5


def recursion(g):
    m = g.shape[0]
    v = torch.empty_like(g)
    q = torch.empty(m, 1)
    for i in range(m):
        own = g[i] / LAMBDA
        if i:
            own -= v[:i].t() @ ((v[:i] @ g[i]).unsqueeze(1) / q[:i]).squeeze(1)
        v[i] = own
        q[i] = m + g[i] @ own
    return v, q


def recursion_diagonal(v, q):
    return 1 / LAMBDA - (v * v / q).sum(0)


def recursion_product(v, q, x):
    return x / LAMBDA - v.t() @ ((v @ x) / q.squeeze(1))


def gram(g):
    m = g.shape[0]
    return torch.linalg.cholesky(g @ g.t() + m * LAMBDA * torch.eye(m, dtype=g.dtype))


def gram_diagonal(g, factor):
    w = torch.linalg.solve_triangular(factor, g, upper=False)
    return (1 - (w * w).sum(0)) / LAMBDA


def gram_product(g, factor, x):
    return (x - g.t() @ torch.cholesky_solve((g @ x).unsqueeze(1), factor).squeeze(1)) / LAMBDA


def best(rounds, body):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = body()
        times.append(time.perf_counter() - start)
    return min(times), result


def coppice(program, weights, gradients, rounds, threads):
    command = [program, "bench", "--inverse-fisher", "--json", "--weights", str(weights), "--gradients", str(gradients)]
    command += ["--repetitions", str(rounds), "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=int, default=1_000_000)
    parser.add_argument("--gradients", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--coppice", metavar="PROGRAM")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(1)
    square = torch.randn(1536, 1536, generator=generator)
    for m in options.gradients:
        g = torch.randn(m, options.weights, generator=generator) / options.weights**0.5
        x = torch.randn(options.weights, generator=generator)
        product, _ = best(options.rounds, lambda: square @ square)
        rate = 2 * 1536**3 / product
        result = {"weights": options.weights, "gradients": m, "threads": torch.get_num_threads()}
        result["matmul GFLOP/s"] = rate / 1e9
        seconds, (v, q) = best(max(1, options.rounds // 2), lambda: recursion(g))
        result["recursion ms"] = seconds * 1e3
        result["recursion diagonal ms"] = best(options.rounds, lambda: recursion_diagonal(v, q))[0] * 1e3
        result["recursion product ms"] = best(options.rounds, lambda: recursion_product(v, q, x))[0] * 1e3
        exact = gram_diagonal(g[:, :4096].double(), gram(g.double()))
        result["recursion diagonal error"] = float(
            (recursion_diagonal(v[:, :4096], q) / exact - 1).abs().max())
        del v, q
        seconds, factor = best(options.rounds, lambda: gram(g))
        result["gram ms"] = seconds * 1e3
        seconds, diagonal = best(options.rounds, lambda: gram_diagonal(g, factor))
        result["gram diagonal ms"] = seconds * 1e3
        result["gram product ms"] = best(options.rounds, lambda: gram_product(g, factor, x))[0] * 1e3
        result["gram diagonal error"] = float((diagonal[:4096] / exact - 1).abs().max())
        if options.coppice:
            result["coppice"] = coppice(
                options.coppice, options.weights, m, options.rounds, torch.get_num_threads())
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
