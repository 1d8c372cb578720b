# SPDX-License-Identifier: Apache-2.0
"""OpenVINO in float32: all threads on one batch, or the batch in parts, a stream each."""

import numpy
import openvino

import engine

CORE = openvino.Core()


def compiled(job, hint, images, streams):
    model = CORE.read_model(job.file("network.onnx"))
    model.reshape([images, *list(model.input().shape)[1:]])
    settings = {
        "PERFORMANCE_HINT": hint,
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": job.threads,
        "NUM_STREAMS": streams,
    }
    return CORE.compile_model(model, "CPU", settings)


def whole(job):
    request = compiled(job, "LATENCY", job.images, 1).create_infer_request()
    return lambda images: request.infer({0: images}, share_inputs=True, share_outputs=True)[0]


def in_parts(job):
    part = job.images // job.threads
    model = compiled(job, "THROUGHPUT", part, job.threads)
    requests = [model.create_infer_request() for _ in range(job.threads)]

    def run(images):
        for i, request in enumerate(requests):
            request.start_async({0: images[i * part : (i + 1) * part]}, share_inputs=True)
        for request in requests:
            request.wait()
        return numpy.concatenate([request.get_output_tensor().data for request in requests])

    return run


def forms(job):
    yield "latency", lambda: whole(job)
    if job.threads > 1 and job.images % job.threads == 0:
        yield "throughput", lambda: in_parts(job)


if __name__ == "__main__":
    engine.serve({"OpenVINO": openvino.get_version()}, forms)
