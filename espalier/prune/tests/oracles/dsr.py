# SPDX-License-Identifier: Apache-2.0
"""A training with dynamic sparse reparameterization, with PyTorch's SGD; writes dsr.inc.

    python3 dsr.py > dsr.inc

18 of 30 and 9 of 15 weights alive, 24 steps, updates before every second, half as often from step 3
and once more from step 10 and 17 on. What grows is drawn here and read by the test. Made with PyTorch 2.13.
"""

import torch

from fixture import head, show
from small_training import NAMES, Training, divide

STEPS, EVERY, END, PRUNED, H0 = 24, 2, 22, 0.136, 0.02


def main():
    head("dsr.py")
    g = torch.Generator().manual_seed(5)
    t = Training(g, alive=(18, 9))
    threshold, due, halved, doubled, moved = H0, EVERY, 0, 0, 0
    for step in range(STEPS):
        if step == due and step < END:
            due += EVERY * 2 ** sum(step >= int(part * STEPS) for part in (0.125, 0.4, 0.7))
            stays = [m & (w.detach().abs() >= threshold) for w, m in zip(t.weights, t.masks)]
            alive = sum(int(m.sum()) for m in t.masks)
            died = alive - sum(int(s.sum()) for s in stays)
            assert all(int(s.sum()) > 0 for s in stays)
            if died > 1.1 * PRUNED * alive:
                threshold, halved = threshold / 2, halved + 1
            elif died < 0.9 * PRUNED * alive:
                threshold, doubled = threshold * 2, doubled + 1
            places = [int((~m).sum()) for m in t.masks]
            numbers = divide(died, [int(s.sum()) for s in stays], places)
            masks = []
            for name, m, s, n in zip(NAMES, t.masks, stays, numbers):
                empty = torch.nonzero((~m).flatten()).flatten()
                drawn = empty[torch.randperm(len(empty), generator=g)]
                merits = torch.zeros(m.numel())
                merits[drawn] = torch.arange(len(drawn), 0, -1.0)
                show(f"merits {step} {name}", merits)
                grown = torch.zeros(m.numel(), dtype=torch.bool)
                grown[drawn[:n]] = True
                masks.append(s | grown.reshape(m.shape))
                moved += abs(int(m.sum()) - int(masks[-1].sum()))
            t.masks = masks
            t.apply()
            t.tell_masks(step)
            show(f"threshold {step}", torch.tensor([threshold], dtype=torch.float64))
        t.gradients(step)
        t.descend()
        if step in (1, 2, 9, 17, 23):
            t.tell_weights(step)
    assert halved > 0 and doubled > 0 and moved > 0, (halved, doubled, moved)


if __name__ == "__main__":
    main()
