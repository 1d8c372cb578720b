# SPDX-License-Identifier: Apache-2.0
"""Five steps of gates on random weights, with PyTorch; writes pruning_from_scratch.inc.

    python3 pruning_from_scratch.py > pruning_from_scratch.inc

A gate multiplies the output of batch norm (scale 0.5, shift 0) before the ReLU and is a parameter of its own; the
penalty is on the mean of both layers' gates; torch.optim.Adam moves gates alone, which are held in 0 .. 1. The network:
convolutions 2>4 and 4>3, mean over the plane, linear 3>3. Made with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (4, 2, 3, 3), "3.weight": (3, 4, 3, 3), "8.weight": (3, 3), "8.bias": (3,)}
STEPS, STRENGTH, SHARE, RATE = 5, 0.2, 0.3, 0.2


def norm(h, gate):
    return gate[:, None, None] * F.batch_norm(h, None, None, torch.full_like(gate, 0.5), torch.zeros_like(gate), training=True)


def main():
    head("pruning_from_scratch.py")
    g = torch.Generator().manual_seed(6)
    w = {n: sixty_fourths(s, g, 0.6) for n, s in SHAPES.items()}
    for name, value in w.items():
        show(name, value)
    gates = [torch.ones(n, dtype=torch.float64, requires_grad=True) for n in (4, 3)]
    adam = torch.optim.Adam(gates, lr=RATE)
    for step in range(STEPS):
        x, labels = sixty_fourths((6, 2, 4, 4), g, 1.0), torch.randint(0, 3, (6,), generator=g)
        show(f"x {step}", x)
        show(f"labels {step}", labels)
        h = F.relu(norm(F.conv2d(x, w["0.weight"], padding=1), gates[0]))
        h = F.relu(norm(F.conv2d(h, w["3.weight"], padding=1), gates[1])).mean((2, 3))
        loss = F.cross_entropy(F.linear(h, w["8.weight"], w["8.bias"]), labels)
        adam.zero_grad()
        (loss + STRENGTH * (torch.cat(gates).abs().mean() - SHARE) ** 2).backward()
        adam.step()
        with torch.no_grad():
            for gate in gates:
                gate.clamp_(0, 1)
        show(f"gates {step}", torch.cat(gates).detach(), 12)


if __name__ == "__main__":
    main()
