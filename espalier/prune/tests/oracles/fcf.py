# SPDX-License-Identifier: Apache-2.0
"""Numbers that become 0 or 1 by ADMM on a box with a sum and a sphere; writes fcf.inc.

    python3 fcf.py > fcf.inc

The projection onto the box with a sum is by bisection here. After the numbers' phase the two
channels of four with the largest stay. Also single projections. Made with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from conv_training import Sgd, batch, forward, numbers, start
from fixture import head, show

STEPS, PRUNE_AT, RHO, MOST, GROWING, ALPHA, K = 60, 48, 0.5, 2.0, 24, 0.9, 2
READERS = {"1": ("0.weight", "3.weight"), "4": ("3.weight", "8.weight")}


def box(a, k):
    low, high = a.min() - 1, a.max()
    for _ in range(200):
        middle = (low + high) / 2
        if torch.clamp(a - middle, 0, 1).sum() > k:
            low = middle
        else:
            high = middle
    return torch.clamp(a - (low + high) / 2, 0, 1)


def sphere(a):
    return 0.5 + (a - 0.5) / torch.linalg.vector_norm(a - 0.5) * len(a)**0.5 / 2


def main():
    head("fcf.py")
    a = numbers((9,), 5) * 3
    show("point", a)
    for k in (1, 4, 8):
        show(f"box {k}", box(a, k))
    show("sphere", sphere(a))
    p, sgd = start(), Sgd()
    v = {n: torch.ones(4, dtype=torch.float64, requires_grad=True) for n in READERS}
    y = {(n, c): torch.zeros(4, dtype=torch.float64) for n in READERS for c in (1, 2)}
    rho, masks = RHO, {}

    def multiplied(name, w):
        for n, (_, reader) in READERS.items():
            if reader == name and n in v:
                w = w * v[n].reshape([1, 4] + [1] * (w.dim() - 2))
        return w

    for step in range(STEPS):
        if step == PRUNE_AT:
            for n, (maker, reader) in READERS.items():
                order = sorted(range(4), key=lambda c: (-v[n][c].item(), c))
                alive = torch.tensor([float(c in order[:K]) for c in range(4)]).double()
                with torch.no_grad():
                    p[reader].copy_(multiplied(reader, p[reader]))
                for name in (maker, n + ".weight", n + ".bias"):
                    shape = [4] + [1] * (p[name].dim() - 1)
                    masks[name] = masks.get(name, 1) * alive.reshape(shape).expand_as(p[name])
                shape = [1, 4] + [1] * (p[reader].dim() - 2)
                masks[reader] = masks.get(reader, 1) * alive.reshape(shape).expand_as(p[reader])
            for name, mask in masks.items():
                sgd.buffers[name] *= mask
            v = {}
        with torch.no_grad():
            for name, mask in masks.items():
                p[name] *= mask
        x, labels = batch(step)
        loss = F.cross_entropy(forward(p, x, weight=multiplied), labels)
        both = {**p, **{"v " + n: one for n, one in v.items()}}
        grads = dict(zip(both, torch.autograd.grad(loss, list(both.values()))))
        z = {}
        for n, one in v.items():
            w = one.detach().clone()
            z[n, 1], z[n, 2] = box(w + y[n, 1] / rho, K), sphere(w + y[n, 2] / rho)
            pulled = y[n, 1] + y[n, 2] + rho * (2 * w - z[n, 1] - z[n, 2])
            grads["v " + n] = ALPHA * pulled + (1 - ALPHA) * grads["v " + n]
        for name, mask in masks.items():
            grads[name] = grads[name] * mask
        sgd.step(p, grads)
        with torch.no_grad():
            for n, one in v.items():
                one -= sgd.lr * grads["v " + n]
        for n, one in v.items():
            for c in (1, 2):
                y[n, c] = y[n, c] + rho * (one.detach() - z[n, c])
        if step < GROWING:
            rho *= (MOST / RHO)**(1 / GROWING)
        if step == PRUNE_AT - 1:
            for n, one in v.items():
                show(f"numbers {n}", one.detach(), 12)
    for name, value in p.items():
        with torch.no_grad():
            show(f"end {name}", value * masks.get(name, 1), 12)


if __name__ == "__main__":
    main()
