# SPDX-License-Identifier: Apache-2.0
"""What PyTorch (2.13, CPU, float64) says of forms and of a gated block: values, and the gradients of input,
weight and the form's own parameters. Straight-through steps are autograd functions, as in the methods'
published code. Writes forms.npz."""
import math

import torch
import torch.nn.functional as F
from oracle import Fixture, made

torch.set_default_dtype(torch.float64)
f = Fixture()


def largest(rows, k):
    """1 for the k largest of each row; of equal ones the first."""
    order = rows.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return torch.zeros_like(rows).scatter_(1, order, 1.0)


class Subnet(torch.autograd.Function):
    @staticmethod
    def forward(ctx, size, k):
        return largest(size.reshape(1, -1), k).reshape(size.shape)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Sparse(torch.autograd.Function):
    """N of M consecutive inputs at one place of the kernel, chosen for `group` outputs together."""

    @staticmethod
    def forward(ctx, weight, n, m, group, decay):
        size = weight.abs().reshape(weight.shape[0] // group, group, *weight.shape[1:]).sum(1)
        last = size.movedim(1, -1)
        mask = largest(last.reshape(-1, m), n).reshape(last.shape).movedim(-1, 1)
        mask = mask.repeat_interleave(group, 0)
        ctx.save_for_backward(weight, mask)
        ctx.decay = decay
        return weight * mask

    @staticmethod
    def backward(ctx, gradient):
        weight, mask = ctx.saved_tensors
        return gradient + ctx.decay * (1 - mask) * weight, None, None, None, None


class Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def conv(x, weight):
    return F.conv2d(x, weight, made((weight.shape[0],), 3, grad=False), padding=1)


x, w, s = made((1, 4, 3, 3), 1), made((4, 4, 2, 2), 2), made((4, 4, 2, 2), 5)
f.add("supermask", conv(x, w * Subnet.apply(s.abs(), 24)), [x, s])
rows, dense, scores = made((5, 8), 4), made((3, 8), 6), made((3, 8), 8)
f.add("supermask.linear", F.linear(rows, dense * Subnet.apply(scores.abs(), 7)), [rows, scores])

f.add("straight_through", conv(x, Sparse.apply(w, 2, 4, 1, 0.25)), [x, w])
f.add("straight_through.group", conv(x, Sparse.apply(w, 1, 2, 2, 0.5)), [x, w])
f.add("straight_through.linear", F.linear(rows, Sparse.apply(dense, 3, 8, 1, 0.0)), [rows, dense])

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1


def clipped(s):
    return (s * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)


for grain, shape in (("weights", w.shape), ("outputs", (4, 1, 1, 1)), ("inputs", (1, 4, 1, 1))):
    a = (made(shape, 9, grad=False) * 4.0).requires_grad_()  # -3.96 .. 3.96: gates are closed, between and open
    f.add(f"hard_concrete.{grain}", conv(x, w * clipped(torch.sigmoid(a))), [x, w, a])
    probability = torch.sigmoid(a - BETA * math.log(-GAMMA / ZETA))
    each = probability.expand_as(w)
    penalty = (each * (0.3 + 0.5 * 0.7 * w**2)).sum().reshape(1)
    f.add(f"hard_concrete.{grain}.penalty", penalty, [w, a])
a = (made((8, 1), 10, grad=False) * 4.0).requires_grad_()
u = made((1, 7), 11, grad=False).abs().clamp(1e-6, 1 - 1e-6)
f.add("hard_concrete.samples", clipped(torch.sigmoid((u.log() - (1 - u).log() + a) / BETA)))
one = a.expand(8, 7).clone().detach().requires_grad_()
z = clipped(torch.sigmoid((u.log() - (1 - u).log() + one) / BETA))
f.add("hard_concrete.slopes", torch.autograd.grad(z.sum(), one)[0])

images, head, bias = made((3, 4, 2, 2), 15), made((1, 4), 13), made((1,), 131)
square = made((4, 4, 3, 3), 16)
p = torch.sigmoid(F.linear(images.mean((2, 3)), head, bias))
opened = Step.apply(p - 0.5)
branch = F.conv2d(images, square, None, padding=1)
f.add("block.open", opened)
f.add("block", F.relu(images + opened.reshape(3, 1, 1, 1) * branch), [images, head, bias, square])
f.save(__file__)
