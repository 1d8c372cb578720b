# SPDX-License-Identifier: Apache-2.0
"""Accelerated proximal steps of factors behind batch norm; writes sss.inc.

    python3 sss.py > sss.inc

Weights have Nesterov's momentum and decay. After the factors' phase channels with a factor of zero
go, the others' factors are folded into the weights that read them. Made with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from conv_training import Sgd, batch, forward, start
from fixture import head, show

STEPS, PRUNE_AT, GAMMA, MU, DECAY = 24, 16, 0.268, 0.6, 1e-2
READERS = {"1": ("0.weight", "3.weight"), "4": ("3.weight", "8.weight")}


def main():
    head("sss.py")
    p, sgd = start(), Sgd(decay=DECAY, nesterov=True)
    lam = {n: torch.ones(4, dtype=torch.float64, requires_grad=True) for n in READERS}
    v = {n: torch.zeros(4, dtype=torch.float64) for n in READERS}
    masks = {}
    for step in range(STEPS):
        if step == PRUNE_AT:
            for n, (maker, reader) in READERS.items():
                alive = (lam[n].detach() != 0).double()
                for name in (maker, n + ".weight", n + ".bias"):
                    shape = [4] + [1] * (p[name].dim() - 1)
                    masks[name] = masks.get(name, 1) * alive.reshape(shape).expand_as(p[name])
                shape = [1, 4] + [1] * (p[reader].dim() - 2)
                masks[reader] = masks.get(reader, 1) * alive.reshape(shape).expand_as(p[reader])
                with torch.no_grad():
                    p[reader] *= lam[n].reshape(shape)
            for name, mask in masks.items():
                sgd.buffers[name] *= mask
            lam = {}
        with torch.no_grad():
            for name, mask in masks.items():
                p[name] *= mask
        x, y = batch(step)
        loss = F.cross_entropy(
            forward(p, x, scale=lambda n, x: x * lam[n].reshape(1, -1, 1, 1) if n in lam else x), y)
        both = {**p, **{"f " + n: f for n, f in lam.items()}}
        grads = dict(zip(both, torch.autograd.grad(loss, list(both.values()))))
        for n, f in lam.items():
            with torch.no_grad():
                v[n] *= MU
                z = f - sgd.lr * grads["f " + n]
                z = torch.sign(z) * torch.clamp(z.abs() - sgd.lr * GAMMA, min=0)
                v[n] = z - f + v[n]
                f.copy_(torch.clamp(z + MU * v[n], min=0))
        for name, mask in masks.items():
            grads[name] = grads[name] * mask
        sgd.step(p, grads)
        if step == PRUNE_AT - 1:
            for n, f in lam.items():
                show(f"factors {n}", f.detach(), 12)
                zeros = int((f == 0).sum())
                assert 0 < zeros < 4, (n, f)
    for name, value in p.items():
        with torch.no_grad():
            show(f"end {name}", value * masks.get(name, 1), 12)


if __name__ == "__main__":
    main()
