# SPDX-License-Identifier: Apache-2.0
"""A training without labels, with PyTorch's autograd and its SGD; writes label_free.inc.

    python3 label_free.py > label_free.inc

Half of the 45 weights go at the beginning, over both layers; then 24 steps on T^2 KL(dense || pruned), T = 4.
Before, the exact diagonal of the true Fisher matrix on the first batch: squared gradients of single samples under
every label, as likely as the network says. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show
from small_training import NAMES, Training, largest

T = 4.0


def answers(weights, images):
    return F.linear(F.relu(F.linear(images, weights[0])), weights[1])


def fisher(t):
    """w^2 g^2 / 2: the mean over labels and samples, and the deviation of one draw."""
    means = [torch.zeros_like(w) for w in t.weights]
    squares = [torch.zeros_like(w) for w in t.weights]
    for image in t.images[0]:
        p = F.softmax(answers(t.weights, image), dim=-1).detach()
        for label in range(3):
            loss = -F.log_softmax(answers(t.weights, image), dim=-1)[label]
            for w, g, mean, square in zip(t.weights, torch.autograd.grad(loss, t.weights), means, squares):
                one = 0.5 * (w.detach() * g) ** 2
                mean += p[label] * one / len(t.images[0])
                square += p[label] * one**2 / len(t.images[0])
    return means, [(s - m**2).clamp(min=0).sqrt() for m, s in zip(means, squares)]


def main():
    head("label_free.py")
    t = Training(torch.Generator().manual_seed(3))
    dense = [w.detach().clone() for w in t.weights]
    for name, mean, spread in zip(NAMES, *fisher(t)):
        show("fisher " + name, mean)
        show("spread " + name, spread, 4)
    sizes = torch.cat([w.detach().abs().flatten() for w in t.weights])
    # 22.5 of 45 go, rounded up.
    kept = largest(sizes, torch.ones(45, dtype=torch.bool), 22)
    t.masks = [kept[:30].reshape(5, 6), kept[30:].reshape(3, 5)]
    assert sizes[kept].min() > sizes[~kept].max()
    t.apply()
    t.tell_masks(24)
    for step in range(24):
        images = t.images[step % 3]
        t.optimizer.zero_grad()
        right = F.log_softmax(answers(dense, images) / T, dim=-1)
        said = F.log_softmax(answers(t.weights, images) / T, dim=-1)
        loss = T * T * F.kl_div(said, right, log_target=True, reduction="batchmean")
        loss.backward()
        t.descend()
        if step in (0, 5, 23):
            t.tell_weights(step)


if __name__ == "__main__":
    main()
