# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: all graph optimizations; its threads spin between runs, as is its default."""

import onnxruntime

import engine


def session(job):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    ready = onnxruntime.InferenceSession(job.file("network.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda images: ready.run(None, {"images": images})[0]


def forms(job):
    yield "all optimizations", lambda: session(job)


if __name__ == "__main__":
    engine.serve({"ONNX Runtime": onnxruntime.__version__}, forms)
