# SPDX-License-Identifier: Apache-2.0
"""Six steps of a random sparse network transformation, with PyTorch; writes rst.inc.

    python3 rst.py > rst.inc

The penalty is a term of the loss, half of lambda times the sum of squares of what will go, lambda growing as the
square of the share of five steps that have passed; torch.optim.SGD has momentum and decay. The mask is given. A
perceptron 5>6>3 with ReLU, float64. Made with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

STEPS, GROWING, STRENGTH = 6, 5, 0.8


def main():
    head("rst.py")
    g = torch.Generator().manual_seed(8)
    weights = {n: sixty_fourths(s, g, 0.6) for n, s in {"0.weight": (6, 5), "2.weight": (3, 6)}.items()}
    masks = {}
    for name, w in weights.items():
        show(name, w)
        stays = torch.randperm(w.numel(), generator=g) < w.numel() // 2
        masks[name] = stays.reshape(w.shape).double()
        show(f"mask {name}", masks[name])
        w.requires_grad_()
    sgd = torch.optim.SGD(weights.values(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    for step in range(STEPS):
        x, labels = sixty_fourths((4, 5), g, 1.0), torch.randint(0, 3, (4,), generator=g)
        show(f"x {step}", x)
        show(f"labels {step}", labels)
        loss = F.cross_entropy(F.relu(x @ weights["0.weight"].T) @ weights["2.weight"].T, labels)
        strength = STRENGTH * min(step / GROWING, 1.0) ** 2
        goes = sum((((1 - masks[n]) * w) ** 2).sum() for n, w in weights.items())
        sgd.zero_grad()
        (loss + strength / 2 * goes).backward()
        sgd.step()
    for name, w in weights.items():
        show(f"after {name}", w.detach())


if __name__ == "__main__":
    main()
