# SPDX-License-Identifier: Apache-2.0
"""GReg-1 and GReg-2 by their definition, with PyTorch; writes greg.inc.

    python3 greg.py > greg.inc

Single weights; both variants from the same weights, until the end, step 24; what they tell under "1 " and "2 ". The
parts of the schedule (10 : 100 : 10, GReg-1 without the first) are written out here. Made with PyTorch 2.13.
"""

import torch

import small_training
from fixture import head, show
from small_training import NAMES, Training, largest

STEPS, STRENGTH, PICKING, KEPT = 24, 1.0, 0.25, 0.05
REMOVED = (15, 8)  # of 30 and 15


def choose(t):
    return [largest(w.detach().abs(), torch.ones(w.shape, dtype=torch.bool), w.numel() - k)
            for w, k in zip(t.weights, REMOVED)]


def run(t, variant):
    before = 10 if variant == 2 else 0
    part = STEPS / (before + 110)
    stays = None
    for step in range(STEPS):
        if stays is None and step >= before * part:
            stays = choose(t)
        t.gradients(step)
        with torch.no_grad():
            for i, w in enumerate(t.weights):
                if stays is None:
                    w.grad += PICKING * step / (before * part) * w
                    continue
                way = min(1.0, (step - before * part) / (100 * part))
                first = PICKING if variant == 2 else 0.0
                growing = first + (STRENGTH - first) * way
                kept = -KEPT if variant == 2 else 0.0
                w.grad += (stays[i].double() * kept + (~stays[i]).double() * growing) * w
        t.descend()
        if step in (1, 2, 7, 22):
            for name, w in zip(NAMES, t.weights):
                show(f"{variant} after {step} {name}", w, 11)
    show(f"{variant} masks {STEPS}", torch.cat([m.flatten() for m in stays]))


def main():
    head("greg.py")
    run(Training(torch.Generator().manual_seed(5)), 1)
    small_training.show = lambda *_: None
    run(Training(torch.Generator().manual_seed(5)), 2)


if __name__ == "__main__":
    main()
