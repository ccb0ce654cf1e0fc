"""llama.cpp's side of suite.py: reads a prompt of 512 tokens and writes 64 with the model of a GGUF file.

A request is {"model": FILE, "threads": N}; the answer {"prefill_tok_s": …, "decode_tok_s": …}. Needs llama-cpp-python.
"""
import time

import llama_cpp
from worker import serve

PROMPT, ANSWER = 512, 64


def measure(request):
    model = llama_cpp.Llama(
        request["model"], n_ctx=PROMPT + ANSWER + 8, n_threads=request["threads"], n_threads_batch=request["threads"],
        n_batch=PROMPT, n_ubatch=PROMPT, verbose=False)
    prompt = [1] + [300 + index * 7919 % 20000 for index in range(PROMPT - 1)]
    for answer in (8, ANSWER):  # the first pass warms caches and pages
        model.reset()
        start = time.perf_counter()
        model.eval(prompt)
        middle = time.perf_counter()
        for index in range(answer):
            model.eval([300 + index])
        end = time.perf_counter()
    model.close()
    return {"prefill_tok_s": PROMPT / (middle - start), "decode_tok_s": ANSWER / (end - middle)}


if __name__ == "__main__":
    serve(measure, {"llama-cpp-python": llama_cpp.__version__})
