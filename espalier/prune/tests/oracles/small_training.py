# SPDX-License-Identifier: Apache-2.0
"""A training of linear 6>5, ReLU, linear 5>3 without biases, for methods that change masks in it.

PyTorch knows of no masks here: weights, gradients and momentum are zeroed by hand. The C++ side is
small_training.h.
"""

import torch
from torch.nn import functional as F

from fixture import show, sixty_fourths

NAMES = ("0.weight", "2.weight")


class Training:
    def __init__(self, generator, alive=None, decay=0.01):
        g = generator
        weights = [sixty_fourths((5, 6), g, 0.6), sixty_fourths((3, 5), g, 0.6)]
        self.images, self.labels = sixty_fourths((3, 4, 6), g, 1.0), torch.randint(0, 3, (3, 4), generator=g)
        self.masks = [torch.ones(w.shape, dtype=torch.bool) for w in weights]
        for m, n in zip(self.masks, alive or ()):
            m.view(-1)[torch.randperm(m.numel(), generator=g)[n:]] = False
        for name, w, m in zip(NAMES, weights, self.masks):
            show(name, w)
            if alive:
                show("mask of " + name, m)
        show("images", self.images)
        show("labels", self.labels)
        self.weights = [(w * m).requires_grad_() for w, m in zip(weights, self.masks)]
        self.optimizer = torch.optim.SGD(self.weights, lr=0.3, momentum=0.9, weight_decay=decay)

    def loss(self, batch, weights=None):
        first, second = weights or self.weights
        hidden = F.relu(F.linear(self.images[batch], first))
        return F.cross_entropy(F.linear(hidden, second), self.labels[batch])

    def apply(self):
        with torch.no_grad():
            for w, m in zip(self.weights, self.masks):
                w[~m] = 0.0
                buffer = self.optimizer.state[w].get("momentum_buffer")
                if buffer is not None:
                    buffer[~m] = 0.0

    def gradients(self, step):
        """Dense ones, of the masked network."""
        self.optimizer.zero_grad()
        self.loss(step % 3).backward()
        return [w.grad.clone() for w in self.weights]

    def descend(self):
        for w, m in zip(self.weights, self.masks):
            w.grad[~m] = 0.0
        self.optimizer.step()
        self.apply()

    def tell_masks(self, step):
        show(f"masks {step}", torch.cat([m.flatten() for m in self.masks]))

    def tell_weights(self, step):
        for name, w in zip(NAMES, self.weights):
            show(f"after {step} {name}", w, 11)


def largest(scores, candidates, k):
    """The k candidates with the highest scores, of equal ones the first, as a mask."""
    out = torch.zeros(scores.shape, dtype=torch.bool)
    order = torch.where(candidates, scores, -torch.inf).flatten().sort(descending=True, stable=True)
    out.view(-1)[order.indices[:k]] = True
    return out


def divide(total, parts, places):
    """Whole numbers in proportion to parts, none beyond its place, largest remainders up."""
    wanted, open_ = [0.0] * len(parts), set(range(len(parts)))
    while open_:
        left, weight = total - sum(w for i, w in enumerate(wanted) if i not in open_), sum(parts[i] for i in open_)
        full = [i for i in open_ if left * parts[i] / weight > places[i]]
        if not full:
            for i in open_:
                wanted[i] = left * parts[i] / weight
            break
        for i in full:
            wanted[i] = float(places[i])
            open_.remove(i)
    out = [int(w + 1e-9) for w in wanted]
    by_rest = sorted(range(len(parts)), key=lambda i: (-(wanted[i] - out[i]), i))
    for i in by_rest[:int(total) - sum(out)]:
        out[i] += 1
    return out
