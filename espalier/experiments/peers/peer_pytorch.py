# SPDX-License-Identifier: Apache-2.0
"""PyTorch: both layouts, eager and compiled; batch norm folded for inference, SGD in one fused pass for training."""

import numpy
import torch
from torch.fx.experimental import optimization

import engine
import prepare

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def inference(job, layout, compiled):
    model = optimization.fuse(prepare.load(job.network, job.file("network.safetensors"))[0]).to(memory_format=layout)
    if compiled:
        torch._inductor.config.freezing = True  # weights are constants: packed once
        model = torch.compile(model)

    def run(images):
        with torch.inference_mode():
            return model(torch.from_numpy(images).contiguous(memory_format=layout)).numpy()

    return run


def training(job, layout, compiled):
    model = prepare.load(job.network, job.file("network.safetensors"))[0].train().requires_grad_().to(memory_format=layout)
    images = torch.from_numpy(numpy.load(job.file("images.npy"))).contiguous(memory_format=layout)
    labels = torch.arange(len(images)) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    forward = torch.compile(model) if compiled else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(forward(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def forms(job):
    torch.set_num_threads(job.threads)
    make = training if job.work == "train" else inference
    for compiled in (False, True):
        for name, layout in LAYOUTS.items():
            yield f"{'compiled' if compiled else 'eager'} {name}", lambda layout=layout, c=compiled: make(job, layout, c)


if __name__ == "__main__":
    engine.serve({"PyTorch": torch.__version__}, forms)
