# SPDX-License-Identifier: Apache-2.0
"""A training with sparse momentum, with PyTorch's autograd and its SGD; writes sparse_momentum.inc.

    python3 sparse_momentum.py > sparse_momentum.inc

18 of 30 and 13 of 15 weights alive, 24 steps, an update before every third. Made with PyTorch 2.13.
"""

import math

import torch

from fixture import head
from small_training import Training, divide, largest

STEPS, EVERY, FIRST, LEAST, MU = 24, 3, 0.5, 0.005, 0.9


def main():
    head("sparse_momentum.py")
    t = Training(torch.Generator().manual_seed(5), alive=(18, 13))
    momenta = [torch.zeros(w.shape, dtype=torch.float64) for w in t.weights]
    overflowed = returned = moved = 0
    for step in range(STEPS):
        if step > 0 and step % EVERY == 0:
            rate = LEAST + (FIRST - LEAST) / 2 * (1 + math.cos(math.pi * step / STEPS))
            means = [v.abs()[m].mean().item() for v, m in zip(momenta, t.masks)]
            stays = [largest(w.detach().abs(), m, int(m.sum()) - int(rate * int(m.sum()) + 1e-9))
                     for w, m in zip(t.weights, t.masks)]
            total = sum(int(m.sum()) - int(s.sum()) for m, s in zip(t.masks, stays))
            places = [int((~s).sum()) for s in stays]
            numbers = divide(total, means, places)
            overflowed += any(total * m / sum(means) > p for m, p in zip(means, places))
            grown = [largest(v.abs(), ~s, n) for v, s, n in zip(momenta, stays, numbers)]
            returned += sum(int((m & ~s & g).sum()) for m, s, g in zip(t.masks, stays, grown))
            moved += sum(abs(int(m.sum()) - int((s | g).sum())) for m, s, g in zip(t.masks, stays, grown))
            t.masks = [s | g for s, g in zip(stays, grown)]
            t.apply()
            t.tell_masks(step)
        momenta = [MU * v + g for v, g in zip(momenta, t.gradients(step))]
        t.descend()
        if step in (2, 3, 10, 17, 23):
            t.tell_weights(step)
    assert overflowed > 0 and returned > 0 and moved > 0, (overflowed, returned, moved)


if __name__ == "__main__":
    main()
