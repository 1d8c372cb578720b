# SPDX-License-Identifier: Apache-2.0
"""ADMM's outer and inner iterations by their definition, with PyTorch; writes admm.inc.

    python3 admm.py > admm.inc

Single weights, three outer iterations of six steps with rho = 0.1, 0.2, 0.4, then a hard cut and six steps with the
mask. Made with PyTorch 2.13.
"""

import torch

from fixture import head
from small_training import Training, largest

KEPT = (15, 7)  # of 30 and 15


def project(w, k):
    return w * largest(w.abs(), torch.ones(w.shape, dtype=torch.bool), k)


def main():
    head("admm.py")
    t = Training(torch.Generator().manual_seed(6))
    z = [project(w.detach(), k) for w, k in zip(t.weights, KEPT)]
    u = [torch.zeros_like(w) for w in z]
    rho = 0.1
    for step in range(24):
        if step == 18:
            t.masks = [largest(w.detach().abs(), torch.ones(w.shape, dtype=torch.bool), k)
                       for w, k in zip(t.weights, KEPT)]
            t.apply()
            t.tell_masks(step)
        elif step % 6 == 0 and step:
            with torch.no_grad():
                z = [project(w + v, k) for w, v, k in zip(t.weights, u, KEPT)]
                u = [(v + w - y) / 2 for v, w, y in zip(u, t.weights, z)]
            rho *= 2
        t.gradients(step)
        if step < 18:
            with torch.no_grad():
                for w, y, v in zip(t.weights, z, u):
                    w.grad += rho * (w - y + v)
        t.descend()
        if step in (0, 6, 12, 17, 23):
            t.tell_weights(step)


if __name__ == "__main__":
    main()
