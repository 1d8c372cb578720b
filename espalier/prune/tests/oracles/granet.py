# SPDX-License-Identifier: Apache-2.0
"""A training with GraNet, with PyTorch's autograd and its SGD; writes granet.inc.

    python3 granet.py > granet.inc

linear 6>5, ReLU, linear 5>3; 24 steps, pruning at 0, 3, .. 12, exchange at 3, 6, .. 21 instead of a
step. PyTorch knows of no masks here: weights and momentum are zeroed by hand. Made with PyTorch 2.13.
"""

import math

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

STEPS, EVERY, END, SPARSITY, FIRST, LEAST = 24, 3, 12, 0.6, 0.5, 0.005


def prune(weights, masks, sparsity):
    total = sum(w.numel() for w in weights)
    kept = total - int(total * sparsity + 0.5 + 1e-9)
    sizes = torch.cat([torch.where(m, w.detach().abs(), -1.0).flatten() for w, m in zip(weights, masks)])
    stays = torch.zeros(total, dtype=torch.bool)
    stays[sizes.sort(descending=True).indices[:kept]] = True
    return [part.reshape(w.shape) for w, part in zip(weights, stays.split([w.numel() for w in weights]))]


def exchange(weight, mask, rate):
    k = int(rate * int(mask.sum()) + 1e-9)
    stays = mask.clone()
    stays.view(-1)[torch.where(mask, weight.detach().abs(), math.inf).flatten().sort().indices[:k]] = False
    grows = torch.where(stays, -1.0, weight.grad.abs()).flatten().sort(descending=True).indices[:k]
    stays.view(-1)[grows] = True
    return stays


def apply(optimizer, weights, masks):
    with torch.no_grad():
        for w, m in zip(weights, masks):
            w[~m] = 0.0
            buffer = optimizer.state[w].get("momentum_buffer")
            if buffer is not None:
                buffer[~m] = 0.0


def main():
    head("granet.py")
    g = torch.Generator().manual_seed(3)
    weights = [sixty_fourths((5, 6), g, 0.6), sixty_fourths((3, 5), g, 0.6)]
    images, labels = sixty_fourths((3, 4, 6), g, 1.0), torch.randint(0, 3, (3, 4), generator=g)
    for name, tensor in (("0.weight", weights[0]), ("2.weight", weights[1]), ("images", images), ("labels", labels)):
        show(name, tensor)
    weights = [w.requires_grad_() for w in weights]
    masks = [torch.ones(w.shape, dtype=torch.bool) for w in weights]
    optimizer = torch.optim.SGD(weights, lr=0.3, momentum=0.9, weight_decay=0.01)
    came_back = moved = 0
    for step in range(STEPS):
        before = masks
        if step % EVERY == 0 and step <= END:
            masks = prune(weights, masks, SPARSITY - SPARSITY * (1 - step / END) ** 3)
            apply(optimizer, weights, masks)
        optimizer.zero_grad()
        hidden = F.relu(F.linear(images[step % 3], weights[0]))
        F.cross_entropy(F.linear(hidden, weights[1]), labels[step % 3]).backward()
        if step % EVERY == 0 and step > 0:
            rate = LEAST + (FIRST - LEAST) / 2 * (1 + math.cos(math.pi * step / STEPS))
            pruned, masks = masks, [exchange(w, m, rate) for w, m in zip(weights, masks)]
            came_back += sum(int((b & ~p & m).sum()) for b, p, m in zip(before, pruned, masks))
            moved += sum(int((p & ~m).sum()) for p, m in zip(pruned, masks))
            show(f"mask {step}", torch.cat([m.flatten() for m in masks]))
        else:
            for w, m in zip(weights, masks):
                w.grad[~m] = 0.0
            optimizer.step()
        apply(optimizer, weights, masks)
        if step in (1, 6, 13, 21, 23):
            for name, w in zip(("0.weight", "2.weight"), weights):
                show(f"after {step} {name}", w, 11)
    assert came_back > 0 and moved > came_back, (came_back, moved)


if __name__ == "__main__":
    main()
