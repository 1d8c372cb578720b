# SPDX-License-Identifier: Apache-2.0
"""Factors of weights by torch.linalg, convolutions with them, and a training; writes low_rank.inc.

    python3 low_rank.py > low_rank.inc

A kernel (4,3,3,2) cut at rank 2 by channels and by space, and at ranks 2 and 2 by three rounds of HOOI; what the
factors make of an image with stride (2,1) and padding (1,0). Then both layers of the small training at ranks 2 and 1,
24 steps on the factors alone. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths
from small_training import NAMES, Training


def halves(matrix, rank):
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vt[:rank]


def left(matrix, rank):
    return torch.linalg.svd(matrix, full_matrices=False)[0][:, :rank]


def hooi(k, rank, inner, rounds):
    by_out, by_in = lambda x: x.flatten(1), lambda x: x.transpose(0, 1).flatten(1)
    u, v = left(by_out(k), rank), left(by_in(k), inner)
    for _ in range(rounds):
        v = left(by_in(torch.einsum("tsij,tr->rsij", k, u)), inner)
        u = left(by_out(torch.einsum("tsij,sq->tqij", k, v)), rank)
    return u, torch.einsum("tsij,tr,sq->rqij", k, u, v), v


def main():
    head("low_rank.py")
    g = torch.Generator().manual_seed(4)
    kernel, image = sixty_fourths((4, 3, 3, 2), g, 0.6), sixty_fourths((1, 3, 5, 4), g, 1.0)
    bias, walk = sixty_fourths((4,), g, 0.5), {"stride": (2, 1), "padding": (1, 0)}
    show("kernel", kernel)
    show("image", image)
    show("bias", bias)
    t, s, h, w = kernel.shape
    u, v = halves(kernel.flatten(1), 2)
    y = F.conv2d(F.conv2d(image, v.reshape(2, s, h, w), **walk), u[:, :, None, None], bias)
    show("channel weight", (u @ v).reshape(kernel.shape), 12)
    show("channel answer", y, 12)
    a, b = halves(kernel.permute(1, 2, 0, 3).reshape(s * h, t * w), 2)
    down = a.T.reshape(2, s, h, 1)
    up = b.reshape(2, t, 1, w).transpose(0, 1)
    y = F.conv2d(F.conv2d(image, down, stride=(2, 1), padding=(1, 0)), up, bias)
    show("spatial weight", (a @ b).reshape(s, h, t, w).permute(2, 0, 1, 3), 12)
    show("spatial answer", y, 12)
    out, core, inp = hooi(kernel, 2, 2, 3)
    y = F.conv2d(F.conv2d(F.conv2d(image, inp.T[:, :, None, None]), core, **walk), out[:, :, None, None], bias)
    show("tucker2 weight", torch.einsum("tr,rqij,sq->tsij", out, core, inp), 12)
    show("tucker2 answer", y, 12)

    train = Training(g)
    resting = [w.detach().clone() for w in train.weights]
    pairs = [[f.requires_grad_() for f in halves(w, r)] for w, r in zip(resting, (2, 1))]
    factors = [f for pair in pairs for f in pair]
    optimizer = torch.optim.SGD(factors, lr=0.3, momentum=0.9, weight_decay=0.01)
    for step in range(24):
        optimizer.zero_grad()
        train.loss(step % 3, [u @ v for u, v in pairs]).backward()
        optimizer.step()
        if step in (0, 5, 23):
            for name, (u, v) in zip(NAMES, pairs):
                show(f"product {step} {name}", u @ v, 12)
    for name, w in zip(NAMES, resting):
        show(f"after 23 {name}", w)


if __name__ == "__main__":
    main()
