# SPDX-License-Identifier: Apache-2.0
"""Skeletons of filters under an l1 penalty, cut in every step; writes stripe_wise.inc.

    python3 stripe_wise.py > stripe_wise.inc

After the penalty's phase stripes up to the threshold go, and the others are tuned. Made with
PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from conv_training import Sgd, batch, forward, start
from fixture import head, show

STEPS, PRUNE_AT, ALPHA, THRESHOLD, DECAY = 24, 16, 0.082, 0.3, 1e-3
CONVS = ["0.weight", "3.weight", "8.weight"]


def main():
    head("stripe_wise.py")
    p, sgd = start(), Sgd(decay=DECAY)
    fs = {n: torch.ones_like(p[n][:, :1]).requires_grad_(True) for n in CONVS}
    masks = {}
    returned = 0
    for step in range(STEPS):
        if step == PRUNE_AT:
            for n in CONVS:
                masks[n] = (fs[n].detach().abs() > THRESHOLD).double().expand_as(p[n]).clone()
                if n == "8.weight":  # its rows are the network's outputs
                    masks[n].fill_(1.0)
                sgd.buffers[n] *= masks[n]
                with torch.no_grad():
                    p[n] *= fs[n] * masks[n]
            for norm, n in (("1", "0.weight"), ("4", "3.weight")):
                alive = (masks[n].sum((1, 2, 3)) > 0).double()
                for member in ("weight", "bias"):
                    masks[f"{norm}.{member}"] = alive
                    sgd.buffers[f"{norm}.{member}"] *= alive
                    with torch.no_grad():
                        p[f"{norm}.{member}"] *= alive
            fs = {}
        x, y = batch(step)
        loss = F.cross_entropy(
            forward(p, x, weight=lambda n, w: w * fs[n] if n in fs else w), y)
        both = {**p, **{"fs " + n: f for n, f in fs.items()}}
        grads = dict(zip(both, torch.autograd.grad(loss, list(both.values()))))
        for n, f in fs.items():
            grads["fs " + n] = grads["fs " + n] + ALPHA * torch.sign(f.detach())
            mask = (f.detach().abs() > THRESHOLD).double()
            grads["fs " + n] *= mask
            with torch.no_grad():
                f *= mask
        for n, mask in masks.items():
            grads[n] = grads[n] * mask
        sgd.step(both, grads)
        with torch.no_grad():
            for n, mask in masks.items():
                p[n] *= mask
        if step == PRUNE_AT - 1:
            for n in CONVS:
                show(f"skeleton {n}", fs[n].detach(), 12)
                returned += int(((fs[n] != 0) & (fs[n].abs() <= THRESHOLD)).sum())
    for n in CONVS[:2]:
        show(f"end {n}", p[n].detach(), 12)
        gone = int((masks[n][:, 0] == 0).sum())
        assert 0 < gone < masks[n][:, 0].numel(), gone
    for n in ("1.bias", "4.bias", "8.weight"):
        show(f"end {n}", p[n].detach(), 12)
    assert returned > 0  # momentum moved some that had been cut
    assert any(bool((masks[n].sum((1, 2, 3)) == 0).any()) for n in CONVS[:2])


if __name__ == "__main__":
    main()
