# SPDX-License-Identifier: Apache-2.0
"""A training by two views with a head that is thrown away, with PyTorch's autograd and its SGD; writes
simclr_tickets.inc.

    python3 simclr_tickets.py > simclr_tickets.inc

Views are the images with noise; the head has five hidden numbers and four out. 24 steps, then 12 of the first layer's
30 weights go by magnitude. Losses of the first and the last step too. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths
from small_training import Training, largest

TEMPERATURE = 0.5


def nt_xent(z):
    z = F.normalize(z, dim=1)
    alike = (z @ z.T / TEMPERATURE).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    n = len(z) // 2
    p = alike.exp() / alike.exp().sum(dim=1, keepdim=True)
    return -torch.cat([p[:n].diagonal(n), p[n:].diagonal()]).log().mean()


def main():
    head("simclr_tickets.py")
    g = torch.Generator().manual_seed(9)
    t = Training(g)
    noise = sixty_fourths((2, 3, 4, 6), g, 0.4)
    show("noise", noise)
    shapes = {"hidden": (5, 5), "hidden_bias": (5,), "out": (4, 5), "out_bias": (4,)}
    own = {name: sixty_fourths(shape, g, 0.5) for name, shape in shapes.items()}
    for name, value in own.items():
        show(name, value)
        value.requires_grad_()
    first = t.weights[0]
    optimizer = torch.optim.SGD([first, *own.values()], lr=0.3, momentum=0.9, weight_decay=0.01)
    for step in range(24):
        x = torch.cat([t.images[step % 3] + noise[v, step % 3] for v in (0, 1)])
        hidden = F.relu(F.linear(F.relu(F.linear(x, first)), own["hidden"], own["hidden_bias"]))
        loss = nt_xent(F.linear(hidden, own["out"], own["out_bias"]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (0, 23):
            show(f"loss {step}", loss.detach(), 12)
        if step in (0, 1, 8, 23):
            t.tell_weights(step)
    sizes = first.detach().abs().flatten()
    kept = largest(sizes, torch.ones(30, dtype=torch.bool), 18)
    assert sizes[kept].min() > sizes[~kept].max() + 1e-6
    t.masks[0] = kept.reshape(5, 6)
    t.tell_masks(24)


if __name__ == "__main__":
    main()
