# SPDX-License-Identifier: Apache-2.0
"""A pruned teacher and its student, with PyTorch's autograd and its SGD; writes
prune_then_distill.inc.

    python3 prune_then_distill.py > prune_then_distill.inc

The teacher loses 10 of 45 weights before step 0 and 8 more before step 6 (0.6^(1/2) and 0.6 stay), over both layers.
Before step 12 it becomes the teacher, and the student has the five hidden neurons' kept share of neurons, those with
the largest shares, and weights of its own. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths
from small_training import NAMES, Training, largest

T, SHARE = 4.0, 0.9


def answers(weights, images):
    return F.linear(F.relu(F.linear(images, weights[0])), weights[1])


def main():
    head("prune_then_distill.py")
    g = torch.Generator().manual_seed(8)
    t = Training(g)
    fresh = [sixty_fourths((5, 6), g, 0.6), sixty_fourths((3, 5), g, 0.6)]
    for name, w in zip(NAMES, fresh):
        show("fresh " + name, w)
    teacher = None
    for step in range(24):
        if step in (0, 6):
            sizes = torch.cat([w.detach().abs().flatten() for w in t.weights])
            alive = torch.cat([m.flatten() for m in t.masks])
            kept = largest(sizes, alive, round(45 * 0.6 ** (0.5 if step == 0 else 1.0)))
            assert sizes[kept].min() > sizes[~kept].max()
            t.masks = [kept[:30].reshape(5, 6), kept[30:].reshape(3, 5)]
            t.apply()
            t.tell_masks(step)
        if step == 12:
            teacher = [w.detach().clone() for w in t.weights]
            shares = (teacher[0] != 0).double().mean(dim=1)
            width = int(shares.sum() + 0.5)
            assert 1 < width < 5 and abs(shares.sum() % 1 - 0.5) > 0.01
            neurons = largest(shares, torch.ones(5, dtype=torch.bool), width)
            t.masks = [neurons[:, None].expand(5, 6).clone(), neurons[None].expand(3, 5).clone()]
            with torch.no_grad():
                for w, new in zip(t.weights, fresh):
                    w.copy_(new)
            t.optimizer.state.clear()
            t.apply()
            t.tell_masks(step)
        images, labels = t.images[step % 3], t.labels[step % 3]
        t.optimizer.zero_grad()
        logits = answers(t.weights, images)
        loss = F.cross_entropy(logits, labels)
        if teacher:
            soft = F.softmax(answers(teacher, images) / T, dim=-1)
            kl = F.kl_div(F.log_softmax(logits / T, dim=-1), soft, reduction="batchmean")
            loss = (1 - SHARE) * loss + SHARE * T * T * kl
        loss.backward()
        t.descend()
        if step in (0, 5, 11, 12, 23):
            t.tell_weights(step)
    t.tell_masks(24)


if __name__ == "__main__":
    main()
