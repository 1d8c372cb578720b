# SPDX-License-Identifier: Apache-2.0
"""DeepSparse, whose closed engine skips zeros among weights."""

import deepsparse
import numpy

import engine


def compiled(job):
    ready = deepsparse.Engine(model=job.file("network.onnx"), batch_size=job.images, num_cores=job.threads)
    return lambda images: numpy.asarray(ready.run([images])[0])


def forms(job):
    yield "synchronous", lambda: compiled(job)


if __name__ == "__main__":
    engine.serve({"DeepSparse": deepsparse.__version__}, forms)
