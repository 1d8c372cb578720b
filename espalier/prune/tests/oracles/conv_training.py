# SPDX-License-Identifier: Apache-2.0
"""A training of conv 2>4, batch norm, ReLU, conv 4>4, batch norm, ReLU, mean, linear 4>3, on images
2x4x4, in float64: what ../conv_training.h does, in PyTorch 2.13. Numbers come from a formula."""

import torch
import torch.nn.functional as F

SHAPES = {"0.weight": (4, 2, 3, 3), "1.weight": (4,), "1.bias": (4,), "3.weight": (4, 4, 3, 3),
          "4.weight": (4,), "4.bias": (4,), "8.weight": (3, 4)}


def numbers(shape, k):
    i = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return ((torch.fmod(7 * i * i + 37 * i + 101 * k, 61) - 30) / 64).reshape(shape)


def start():
    parameters = {}
    for k, (name, shape) in enumerate(SHAPES.items()):
        value = numbers(shape, k)
        if name in ("1.weight", "4.weight"):
            value = 1 + value / 2
        parameters[name] = value.clone().requires_grad_(True)
    return parameters


def batch(index):
    images = numbers((4, 2, 4, 4), 20 + index % 3) * 4
    return images, (torch.arange(4) + index) % 3


def forward(p, x, scale=lambda name, x: x, weight=lambda name, w: w):
    """`scale` changes what batch norm `name` gives, `weight` what is multiplied with."""
    for conv, norm in (("0", "1"), ("3", "4")):
        x = F.conv2d(x, weight(conv + ".weight", p[conv + ".weight"]), padding=1)
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        x = (x - mean) / torch.sqrt(var + 1e-5)
        x = x * p[norm + ".weight"].reshape(1, -1, 1, 1) + p[norm + ".bias"].reshape(1, -1, 1, 1)
        x = F.relu(scale(norm, x))
    return x.mean((2, 3)) @ weight("8.weight", p["8.weight"]).T


class Sgd:
    """Momentum as in torch.optim.SGD, written out, so that it can be looked into."""

    def __init__(self, lr=0.1, momentum=0.9, decay=0.0, nesterov=False):
        self.lr, self.momentum, self.decay, self.nesterov = lr, momentum, decay, nesterov
        self.buffers = {}

    def step(self, parameters, grads, no_decay=()):
        for name, p in parameters.items():
            g = grads[name].clone()
            if name not in no_decay:
                g = g + self.decay * p.detach()
            b = self.momentum * self.buffers[name] + g if name in self.buffers else g
            self.buffers[name] = b
            with torch.no_grad():
                p -= self.lr * (g + self.momentum * b if self.nesterov else b)
