"""A peer as a process that waits for requests: one JSON object a line in, one out.

It answers each when it has measured, and computes nothing in between, so that suite.py can let peers and Coppice take
turns without loading libraries again.
"""
import json
import os
import subprocess
import sys


def serve(measure, versions):
    """Answers requests by `measure` until there are no more; says first which versions it runs."""
    # What libraries print is not an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for answer in ([versions], (measure(json.loads(line)) for line in sys.stdin)):
        for value in answer:
            print(json.dumps(value), file=answers, flush=True)


class Worker:
    """The other end."""

    def __init__(self, python, script, environment):
        self.name = os.path.basename(script)
        self.process = subprocess.Popen(
            [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.versions = self.answer()

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
