# SPDX-License-Identifier: Apache-2.0
"""A training with MEST under its soft bound, with PyTorch's autograd and its SGD; writes mest.inc.

    python3 mest.py > mest.inc

12 of 30 and 6 of 15 weights are asked for; 24 steps, an update before every second until 18. What
grows is drawn here and read by the test; the gradient of the score is that of the first batch. Made
with PyTorch 2.13.
"""

import torch

from fixture import head, show
from small_training import NAMES, Training, largest

STEPS, EVERY, HALF, END, MUTATED, LAMBDA, DENSITY = 24, 2, 12, 18, 0.34, 0.5, 0.4


def main():
    head("mest.py")
    g = torch.Generator().manual_seed(5)
    t = Training(g, alive=(12, 6))
    by_gradient = 0
    for step in range(STEPS):
        if 0 < step <= END and step % EVERY == 0:
            mutated = 0.0 if step == END else MUTATED / (2 if step >= HALF else 1)
            slopes = t.gradients(0)
            masks = []
            for name, w, m, slope in zip(NAMES, t.weights, t.masks, slopes):
                asked = round(DENSITY * w.numel())
                size = w.detach().abs()
                stays = largest(size + LAMBDA * slope.abs(), m, asked)
                by_gradient += int((stays != largest(size, m, asked)).sum())
                empty = torch.nonzero((~m).flatten()).flatten()
                drawn = empty[torch.randperm(len(empty), generator=g)]
                number = round(DENSITY * (1 + mutated) * w.numel()) - asked
                merits = torch.zeros(w.numel())
                merits[drawn] = torch.arange(len(drawn), 0, -1.0)
                show(f"merits {step} {name}", merits)
                grown = torch.zeros(w.numel(), dtype=torch.bool)
                grown[drawn[:number]] = True
                masks.append(stays | grown.reshape(m.shape))
            t.masks = masks
            t.apply()
            t.tell_masks(step)
        t.gradients(step)
        t.descend()
        if step in (1, 2, 9, 17, 23):
            t.tell_weights(step)
    assert by_gradient > 4, by_gradient
    assert [int(m.sum()) for m in t.masks] == [12, 6]


if __name__ == "__main__":
    main()
