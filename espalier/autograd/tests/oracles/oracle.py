# SPDX-License-Identifier: Apache-2.0
"""Inputs that both sides make for themselves (oracle.h of these tests has the same formula), so that a fixture
holds only what PyTorch computed of them."""
import numpy as np
import torch


def made(shape, seed, grad=True):
    """Numbers in [-0.99, 0.99], the same at every call; fewer than 199 are all different."""
    count = int(np.prod(shape))
    values = [((i * 37 + seed * 101) % 199) / 100.0 - 0.99 for i in range(count)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape).requires_grad_(grad)


class Fixture:
    """Results by name, each with the gradients that arrive at its inputs."""

    def __init__(self):
        self.arrays = {}

    def add(self, name, output, inputs=()):
        self.arrays[name] = output.detach().clone().numpy()
        if not inputs:
            return
        incoming = made(output.shape, 7, grad=False)
        gradients = torch.autograd.grad(output, inputs, incoming)
        for i, gradient in enumerate(gradients):
            self.arrays[f"{name}.d{i}"] = gradient.numpy()

    def save(self, script):
        np.savez_compressed(script.replace(".py", ".npz"), **self.arrays)
