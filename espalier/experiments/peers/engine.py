# SPDX-License-Identifier: Apache-2.0
"""The loop that each peer runs in a process of its own: a line of JSON in, a line out.

An engine's file gives `forms(job)`, which yields pairs: the name of a form and a function that prepares it. What that
returns is called with the images and gives the logits; a training form is called with none and gives the loss.
"""

import ctypes
import dataclasses
import json
import os
import signal
import sys
import time
import traceback

import numpy

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LARGEST_DIFFERENCE = 1e-2  # of the largest logit: MNN's Winograd is at 4e-3 in ResNet-50, a wrong network far above


@dataclasses.dataclass
class Job:
    """What is to be run; files lie in `folder` (prepare.py)."""

    network: str
    work: str
    case: str
    threads: int
    images: int
    folder: str

    def file(self, name):
        return os.path.join(self.folder, name)


def difference(got, expected):
    """The largest one, over the largest number that is expected."""
    got, expected = numpy.asarray(got), numpy.asarray(expected)
    if got.shape != expected.shape or not numpy.isfinite(got).all():
        raise ValueError(f"gives {got.shape}, finite {numpy.isfinite(got).all()}; expected {expected.shape}")
    return float(abs(got - expected).max() / abs(expected).max())


def seconds_per_call(call, seconds):
    """Wall clock, after a warm-up of a fifth of the time and at least one call."""
    start = time.perf_counter()
    while True:
        call()
        if time.perf_counter() - start > 0.2 * seconds:
            break
    calls, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds or calls == 0:
        call()
        calls += 1
    return passed / calls


def prepare(job, forms):
    """Callables by name, and what was found of each: how far its answer is from the right one, or why it is out."""
    ready, found = {}, {}
    images = numpy.load(job.file("images.npy"))
    expected = numpy.load(job.file("logits.npy"))
    for name, make in forms(job):
        try:
            run = make()
            if job.work == "train":
                # All forms begin with the same weights and take the same steps.
                losses = [float(run()) for _ in range(3)]
                expected = losses if not ready else expected
                call, off = run, difference(losses, expected)
            else:
                call = lambda run=run: run(images)  # noqa: E731
                off = difference(run(images), expected)
            if off > LARGEST_DIFFERENCE:
                raise ValueError(f"gives other numbers: they differ by {off:.1e}")
            ready[name], found[name] = call, {"difference": off}
        except Exception as error:
            traceback.print_exc()
            first = f"{type(error).__name__}: {error}".splitlines()[0]
            found[name] = {"error": first[:200]}
    return ready, found


def serve(versions, forms):
    """Answers until the input ends, into the descriptor that the first argument tells: libraries print what they like."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # stopped, it would outlive who asks
    answers = os.fdopen(int(sys.argv[1]), "w")
    ready = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "job" in request:
            ready, found = prepare(Job(**request["job"]), forms)
            answer = {"versions": versions, "forms": found}
        else:
            answer = {"seconds": seconds_per_call(ready[request["form"]], request["seconds"])}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
