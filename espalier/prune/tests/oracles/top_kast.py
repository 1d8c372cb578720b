# SPDX-License-Identifier: Apache-2.0
"""A training with Top-KAST, with PyTorch's autograd and its SGD; writes top_kast.inc.

    python3 top_kast.py > top_kast.inc

12 of 30 and 6 of 15 weights in use, 6 and 3 more are trained; 24 steps, chosen anew at every second.
The penalty is part of the loss, all weights are stored. Made with PyTorch 2.13.
"""

import torch

from fixture import head
from small_training import Training, largest

STEPS, EVERY, DENSITY, EXTRA, C = 24, 2, 0.4, 0.2, 0.05


def main():
    head("top_kast.py")
    t = Training(torch.Generator().manual_seed(5), decay=0.0)
    everywhere = [torch.ones(w.shape, dtype=torch.bool) for w in t.weights]
    used = trained = None
    changed = came_back = 0
    ever_left = [torch.zeros(w.shape, dtype=torch.bool) for w in t.weights]
    for step in range(STEPS):
        if step % EVERY == 0:
            sizes = [w.detach().abs() for w in t.weights]
            before = used
            used = [largest(s, e, round(DENSITY * s.numel())) for s, e in zip(sizes, everywhere)]
            trained = [largest(s, e, round((DENSITY + EXTRA) * s.numel())) for s, e in zip(sizes, everywhere)]
            for w, b in zip(t.weights, trained):
                buffer = t.optimizer.state[w].get("momentum_buffer")
                if buffer is not None:
                    buffer[~b] = 0.0
            if before:
                changed += sum(int((a != b).sum()) for a, b in zip(used, before))
                came_back += sum(int((a & ~b & l).sum()) for a, b, l in zip(used, before, ever_left))
                ever_left = [l | (b & ~a) for l, a, b in zip(ever_left, used, before)]
        t.optimizer.zero_grad()
        effective = [(w.detach() * a).requires_grad_() for w, a in zip(t.weights, used)]
        t.loss(step % 3, effective).backward()
        for w, e, a, b in zip(t.weights, effective, used, trained):
            pull = torch.where(a, w.detach(), torch.where(b, w.detach() / DENSITY, 0.0))
            w.grad = torch.where(b, e.grad + C * pull, 0.0)
        t.optimizer.step()
        if step in (0, 1, 8, 17, 23):
            t.tell_weights(step)
    t.masks = used
    t.tell_masks(STEPS)
    assert changed > 4 and came_back > 0, (changed, came_back)


if __name__ == "__main__":
    main()
