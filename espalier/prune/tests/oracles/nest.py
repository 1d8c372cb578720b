# SPDX-License-Identifier: Apache-2.0
"""A training that grows and prunes as NeST does, with PyTorch's SGD, and a bridging gradient; writes
nest.inc.

    python3 nest.py > nest.inc

A seed of 6 of 30 and 3 of 15 weights; 24 steps, growth at 4, 8 and 12 instead of a step, pruning
before 15, 18 and 21. No neuron grows here. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show
from small_training import Training, largest

STEPS, SEED, GROWN, FINAL = 24, 0.2, 0.8, 0.4
GROWTH, PRUNING = {4: 1, 8: 2, 12: 3}, {15: 1, 18: 2, 21: 3}


def main():
    head("nest.py")
    t = Training(torch.Generator().manual_seed(11), alive=(6, 3))
    inputs = t.images[0]
    outputs = F.linear(F.relu(F.linear(inputs, t.weights[0])), t.weights[1]).detach().requires_grad_()
    F.cross_entropy(outputs, t.labels[0]).backward()
    show("bridge", outputs.grad.T @ inputs)
    rescued = 0
    for step in range(STEPS):
        if step in PRUNING:
            density = GROWN + (FINAL - GROWN) * PRUNING[step] / 3
            t.masks = [largest(w.detach().abs(), m, round(density * w.numel()))
                       for w, m in zip(t.weights, t.masks)]
            t.apply()
            t.tell_masks(step)
        gradients = t.gradients(step)
        if step in GROWTH:
            density = SEED + (GROWN - SEED) * GROWTH[step] / 3
            t.masks = [m | largest(g.abs(), ~m, round(density * m.numel()) - int(m.sum()))
                       for g, m in zip(gradients, t.masks)]
            t.apply()
            t.tell_masks(step)
            rescued += sum(int((m & (w == 0)).sum()) for w, m in zip(t.weights, t.masks))
        else:
            t.descend()
        if step in (3, 5, 9, 17, 23):
            t.tell_weights(step)
    assert rescued >= 27, rescued


if __name__ == "__main__":
    main()
