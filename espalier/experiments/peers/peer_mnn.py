# SPDX-License-Identifier: Apache-2.0
"""MNN: dense; its converter's sparse form; and that with blocks of 4 output channels, where the weights have them.

The converter is called as a function: the wheel's command `mnnconvert` installs a package and sends what was converted to its makers.
"""

import MNN
import _tools
import numpy

import engine

# MNN_compression.proto, Pipeline: version "0.0.0", one algorithm, PRUNE, of type SIMD_OC, oc_blocks 4.
BLOCKS_OF_4 = bytes.fromhex("0a05302e302e30 120a 0801 1a06 0801 1a02 2004")


def convert(job, name, *options):
    path = job.file(f"{name}.mnn")
    _tools.mnnconvert(["", "-f", "ONNX", "--modelFile", job.file("network.onnx"), "--MNNModel", path, "--bizCode", "x", *options])
    return path


def session(job, path):
    net = MNN.Interpreter(path)
    ready = net.createSession({"backend": "CPU", "precision": "high", "numThread": job.threads})
    given, logits = net.getSessionInput(ready), net.getSessionOutput(ready)
    shape = logits.getShape()
    result = numpy.empty(shape, numpy.float32)
    out = MNN.Tensor(shape, MNN.Halide_Type_Float, result, MNN.Tensor_DimensionType_Caffe)

    def run(images):
        given.copyFrom(MNN.Tensor(images.shape, MNN.Halide_Type_Float, images, MNN.Tensor_DimensionType_Caffe))
        net.runSession(ready)
        logits.copyToHostTensor(out)
        return out.getNumpyData()

    return run


def blocked(job):
    path = job.file("blocks.bin")
    with open(path, "wb") as file:
        file.write(BLOCKS_OF_4)
    return session(job, convert(job, "blocks", "--detectSparseSpeedUp", "--compressionParamsFile", path))


def forms(job):
    yield "dense", lambda: session(job, convert(job, "dense"))
    if job.case != "dense":
        yield "sparse", lambda: session(job, convert(job, "sparse", "--detectSparseSpeedUp"))
    if job.case.startswith("4x1"):
        yield "sparse, blocks of 4", lambda: blocked(job)


if __name__ == "__main__":
    engine.serve({"MNN": MNN.version()}, forms)
