# SPDX-License-Identifier: Apache-2.0
"""ADMM onto kernel patterns and connectivity, then fine-tuning; writes pconv.inc.

    python3 pconv.py > pconv.inc

The pull is a term of the loss here, and left to autograd; what is remembered is the multiplier
y = rho u, which no change of rho touches. Made with PyTorch 2.13.
"""

import math

import torch
import torch.nn.functional as F

from conv_training import Sgd, batch, forward, start
from fixture import head, show

STEPS, PRUNE_AT = 24, 12
RHOS = [0.05, 0.1, 0.2, 0.4]  # of rounds of equal length
CELLS = ["11 12 21 22", "10 11 20 21", "01 02 11 12", "00 01 10 11", "01 10 11 12", "10 11 12 21",
         "01 11 12 21", "01 10 11 21"]
LIBRARY = []
for cells in CELLS:
    keep = torch.zeros(3, 3, dtype=torch.float64)
    for cell in cells.split():
        keep[int(cell[0]), int(cell[1])] = 1
    LIBRARY.append(keep)


def onto_patterns(w):
    norms = torch.stack([(w * p).pow(2).sum((2, 3)).sqrt() for p in LIBRARY])
    return w * torch.stack(LIBRARY)[norms.argmax(0)]


def onto_kernels(w, removed):
    out = w.clone()
    for f in range(w.shape[0]):
        norms = [(w[f, c].norm().item(), -c) for c in range(w.shape[1])]
        for _, c in sorted(norms)[:removed]:  # of equal ones the first stays
            out[f, -c] = 0
    return out


def removed_kernels(w, sparsity):
    r = max(0.0, 1 - (1 - sparsity) * 9 / 4) if w.dim() == 4 else sparsity
    return math.floor(w.shape[1] * r + 1e-9)


def train(sparsity):
    p, sgd = start(), Sgd()
    weights = ["0.weight", "3.weight", "8.weight"]
    z, y, masks, rho = {}, {}, {}, RHOS[0]
    rounds = {i * PRUNE_AT // len(RHOS): r for i, r in enumerate(RHOS)}
    projections = {}
    for name in weights:
        k = removed_kernels(p[name], sparsity)
        if p[name].dim() == 4:
            projections["pattern", name] = onto_patterns
        if k > 0:
            projections["kernels", name] = lambda w, k=k: onto_kernels(w, k)
    for step in range(STEPS):
        if step == PRUNE_AT:
            for name in weights:
                w = p[name].detach()
                kept = onto_patterns(w) if w.dim() == 4 else w
                kept = onto_kernels(kept, removed_kernels(w, sparsity))
                masks[name] = (kept != 0).double()
                sgd.buffers[name] *= masks[name]
                with torch.no_grad():
                    p[name] *= masks[name]
        elif step in rounds:
            for key, onto in projections.items():
                w = p[key[1]].detach()
                if step == 0:
                    z[key], y[key] = onto(w), torch.zeros_like(w)
                else:
                    z[key] = onto(w + y[key] / rho)
                    y[key] = y[key] + rho * (w - z[key])
            rho = rounds[step]
        x, labels = batch(step)
        loss = F.cross_entropy(forward(p, x), labels)
        if step < PRUNE_AT:
            for key in projections:
                away = p[key[1]] - z[key]
                loss = loss + (y[key] * away).sum() + rho / 2 * away.pow(2).sum()
        grads = dict(zip(p, torch.autograd.grad(loss, list(p.values()))))
        for name, mask in masks.items():
            grads[name] = grads[name] * mask
        sgd.step(p, grads)
        if step == PRUNE_AT - 1:
            show(f"{sparsity} dense 3.weight", p["3.weight"].detach(), 12)
    for name in weights:
        show(f"{sparsity} end {name}", p[name].detach(), 12)


def main():
    head("pconv.py")
    for sparsity in (0.75, 0.5):
        train(sparsity)


if __name__ == "__main__":
    main()
