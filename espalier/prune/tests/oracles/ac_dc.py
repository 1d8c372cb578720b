# SPDX-License-Identifier: Apache-2.0
"""AC/DC on a small network with PyTorch's SGD; writes ac_dc.inc.

    python3 ac_dc.py > ac_dc.inc

20 steps in the proportions of the paper's CIFAR plan: sparse from 1, 5, 9, 13 and 17, dense from 3,
7, 11 and 15. The whole momentum is cleared when a dense phase begins; weights that are gone are
multiplied away after every step, with their gradient. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

INPUTS, HIDDEN, CLASSES, SAMPLES, STEPS, BATCHES = 6, 5, 3, 4, 20, 3
SPARSE, DENSE = (1, 5, 9, 13, 17), (3, 7, 11, 15)
SPARSITY, RATE, MOMENTUM, DECAY = 0.6, 0.3, 0.9, 0.01


def main():
    head("ac_dc.py")
    g = torch.Generator().manual_seed(5)
    first, second = sixty_fourths((HIDDEN, INPUTS), g, 0.5), sixty_fourths((CLASSES, HIDDEN), g, 0.5)
    images = sixty_fourths((BATCHES, SAMPLES, INPUTS), g, 1.0)
    labels = torch.randint(0, CLASSES, (BATCHES, SAMPLES), generator=g)
    for name, tensor in (("0.weight", first), ("2.weight", second), ("images", images), ("labels", labels)):
        show(name, tensor)
    weights = [first.clone().requires_grad_(), second.clone().requires_grad_()]
    masks = [torch.ones_like(w) for w in weights]
    sgd = torch.optim.SGD(weights, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    for step in range(STEPS):
        if step in SPARSE:
            size = torch.cat([w.detach().abs().flatten() for w in weights])
            keep = size.numel() - round(SPARSITY * size.numel())
            kept = torch.zeros_like(size)
            kept[torch.topk(size, keep).indices] = 1.0
            masks = [k.reshape(w.shape) for k, w in zip(kept.split([w.numel() for w in weights]), weights)]
            show(f"mask {step}", kept)
        if step in DENSE:
            masks = [torch.ones_like(w) for w in weights]
            sgd.state.clear()
        with torch.no_grad():
            for w, m in zip(weights, masks):
                w *= m
                if w in sgd.state and "momentum_buffer" in sgd.state[w]:
                    sgd.state[w]["momentum_buffer"] *= m
        sgd.zero_grad()
        hidden = F.relu(F.linear(images[step % BATCHES], weights[0]))
        F.cross_entropy(F.linear(hidden, weights[1]), labels[step % BATCHES]).backward()
        for w, m in zip(weights, masks):
            w.grad *= m
        sgd.step()
        if step + 1 in (*SPARSE, *DENSE, STEPS):
            show(f"after {step} 0.weight", weights[0].detach())
            show(f"after {step} 2.weight", weights[1].detach())


if __name__ == "__main__":
    main()
