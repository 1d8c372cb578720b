# SPDX-License-Identifier: Apache-2.0
"""A training with CLIP-Q, with PyTorch's autograd and its SGD; writes clip_q.inc.

    python3 clip_q.py > clip_q.inc

12 of 30 and 6 of 15 weights stay, 3 bits; 24 steps, clipped and quantized before each.
Intervals are found by their borders, means by torch. Made with PyTorch 2.13.
"""

import torch

from fixture import head, show
from small_training import NAMES, Training

STEPS, KEPT, BITS = 24, (12, 6), (3, 3)


def clipped(w, kept):
    """True for what is multiplied with as zero."""
    out = torch.zeros(w.numel(), dtype=torch.bool)
    flat = w.flatten()
    gone = flat.numel() - kept
    negative, positive = (flat < 0).nonzero().flatten(), (flat >= 0).nonzero().flatten()
    share = gone * len(negative) / flat.numel()
    of_negative = int(share + 0.5)
    assert abs(share + 0.5 - round(share + 0.5)) > 1e-9  # no tie
    for side, count in ((negative, of_negative), (positive, gone - of_negative)):
        out[side[flat[side].abs().argsort()[:count]]] = True
    return out.reshape(w.shape)


def quantized(w, kept, bits):
    out, gone = torch.zeros_like(w), clipped(w, kept)
    sides = [(w < 0) & ~gone, (w >= 0) & ~gone]
    ranges = [(w[s].abs().min().item(), w[s].abs().max().item()) for s in sides]
    lengths = [b - a for a, b in ranges]
    all_ = 2**bits - 1
    first = min(max(int(all_ * lengths[0] / sum(lengths) + 0.5), 1), all_ - 1)
    for side, (low, high), count in zip(sides, ranges, (first, all_ - first)):
        borders = torch.linspace(low, high, count + 1, dtype=torch.float64)[1:-1]
        place = torch.bucketize(w.abs(), borders, right=True)
        for k in range(count):
            members = side & (place == k)
            if members.any():
                out[members] = w[members].mean()
    assert len(out.unique()) <= 2**bits
    return out, ~gone


def main():
    head("clip_q.py")
    t = Training(torch.Generator().manual_seed(11), decay=0.01)
    gone_before, back = [torch.zeros(w.shape, dtype=torch.bool) for w in t.weights], 0
    for step in range(STEPS):
        made = [quantized(w.detach(), k, b) for w, k, b in zip(t.weights, KEPT, BITS)]
        back += sum(int((g & m).sum()) for g, (_, m) in zip(gone_before, made))
        gone_before = [~m for _, m in made]
        effective = [e.requires_grad_() for e, _ in made]
        t.optimizer.zero_grad()
        t.loss(step % 3, effective).backward()
        for w, e in zip(t.weights, effective):
            w.grad = e.grad.clone()
        t.optimizer.step()
        if step in (0, 1, 8, 17, 23):
            t.tell_weights(step)
    last = [quantized(w.detach(), k, b) for w, k, b in zip(t.weights, KEPT, BITS)]
    t.masks = [m for _, m in last]
    t.tell_masks(STEPS)
    for name, (e, _) in zip(NAMES, last):
        show(f"folded {name}", e, 11)
    assert back > 0, back  # what was clipped comes back


if __name__ == "__main__":
    main()
