# SPDX-License-Identifier: Apache-2.0
"""Diagonals of second derivatives from autograd, with PyTorch; writes obd.inc.

    python3 obd.py > obd.inc

The Hessian's is of autograd's whole matrix of the mean loss. Gauss-Newton's is the sum over samples and
classes of p_c g^2, g the gradient of -log p_c, nothing drawn; Fisher's is of the data's labels. Made with
PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

INPUTS, HIDDEN, CLASSES, SAMPLES = 6, 4, 3, 10


def main():
    head("obd.py")
    g = torch.Generator().manual_seed(21)
    weights = [sixty_fourths((HIDDEN, INPUTS), g, 0.7), sixty_fourths((CLASSES, HIDDEN), g, 0.7)]
    bias = sixty_fourths((CLASSES,), g, 0.3)
    images = sixty_fourths((SAMPLES, INPUTS), g, 1.0)
    labels = torch.randint(0, CLASSES, (SAMPLES,), generator=g)
    names = ("0.weight", "2.weight")
    for name, tensor in (*zip(names, weights), ("2.bias", bias), ("images", images), ("labels", labels)):
        show(name, tensor)

    def loss(first, second, rows, classes):
        return F.cross_entropy(F.linear(F.relu(F.linear(rows, first)), second, bias), classes)

    hessian = torch.autograd.functional.hessian(lambda a, b: loss(a, b, images, labels), tuple(weights))
    leaves = [w.clone().requires_grad_() for w in weights]
    fisher = [torch.zeros_like(w) for w in weights]
    gauss_newton = [torch.zeros_like(w) for w in weights]
    for n in range(SAMPLES):
        row = images[n:n + 1]
        p = F.linear(F.relu(F.linear(row, weights[0])), weights[1], bias).softmax(1).flatten()
        for c in range(CLASSES):
            gradient = torch.autograd.grad(loss(*leaves, row, torch.tensor([c])), leaves)
            for k in range(2):
                gauss_newton[k] += p[c] * gradient[k] ** 2 / SAMPLES
                fisher[k] += (c == labels[n]) * gradient[k] ** 2 / SAMPLES
    scores = {}
    for k, name in enumerate(names):
        n = weights[k].numel()
        diagonal = hessian[k][k].reshape(n, n).diagonal().reshape(weights[k].shape)
        for kind, h in (("hessian", diagonal), ("fisher", fisher[k]), ("gauss-newton", gauss_newton[k])):
            scores[kind, name] = h * weights[k] ** 2 / 2
            show(f"{kind} {name}", scores[kind, name])
    ranked = torch.cat([scores["hessian", name].flatten() for name in names]).sort()
    assert ranked.values[17] < ranked.values[18]
    stays = torch.ones(36)
    stays[ranked.indices[:18]] = 0
    for name, part in zip(names, stays.split([w.numel() for w in weights])):
        show(f"mask {name}", part)


if __name__ == "__main__":
    main()
