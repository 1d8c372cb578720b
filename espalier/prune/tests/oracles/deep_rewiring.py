# SPDX-License-Identifier: Apache-2.0
"""Deep rewiring without noise, with PyTorch's SGD; writes deep_rewiring.inc.

    python3 deep_rewiring.py > deep_rewiring.inc

One layer of 6 inputs and 5 outputs, 12 of its 30 weights alive, 10 steps at a rate at which signs
change often. After each step the script tells which connections died; where others came to life is
drawn here, among the places that were empty before, and read by the test. The l1 term is part of the
loss. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

INPUTS, CLASSES, SAMPLES, STEPS, BATCHES, ALIVE = 6, 5, 4, 10, 2, 12
RATE, MOMENTUM, ALPHA = 0.5, 0.5, 0.02


def main():
    head("deep_rewiring.py")
    g = torch.Generator().manual_seed(3)
    start = sixty_fourths((CLASSES, INPUTS), g, 0.5)
    mask = torch.zeros(start.numel(), dtype=torch.float64)
    mask[torch.randperm(start.numel(), generator=g)[:ALIVE]] = 1.0
    mask = mask.reshape(start.shape)
    images = sixty_fourths((BATCHES, SAMPLES, INPUTS), g, 1.0)
    labels = torch.randint(0, CLASSES, (BATCHES, SAMPLES), generator=g)
    weight = (start * mask).requires_grad_()
    for name, tensor in (("weight", weight.detach()), ("mask", mask), ("images", images), ("labels", labels)):
        show(name, tensor)
    sign = torch.sign(weight.detach())
    sgd = torch.optim.SGD([weight], lr=RATE, momentum=MOMENTUM)
    for step in range(STEPS):
        sgd.zero_grad()
        loss = F.cross_entropy(F.linear(images[step % BATCHES], weight), labels[step % BATCHES])
        (loss + ALPHA * (weight.abs() * mask).sum()).backward()
        weight.grad *= mask
        sgd.step()
        with torch.no_grad():
            died = (torch.sign(weight) * sign < 0).double()
            empty = torch.nonzero((mask == 0).flatten()).flatten()
            grown = empty[torch.randperm(len(empty), generator=g)[:int(died.sum())]]
            show(f"after {step}", weight.detach())
            show(f"died {step}", died)
            mask = mask * (1 - died)
            mask.flatten()[grown] = 1.0
            weight *= mask * (1 - died)
            weight.flatten()[grown] = 0.0
            momentum = sgd.state[weight]["momentum_buffer"]
            momentum *= mask
            momentum.flatten()[grown] = 0.0
            show(f"mask {step}", mask)
            sign = torch.sign(weight)


if __name__ == "__main__":
    main()
