# SPDX-License-Identifier: Apache-2.0
"""What PyTorch (2.13, CPU, float64) says of cross_entropy and nll_loss with class weights, ignored
labels and label smoothing, in all reductions. Writes losses.npz."""
import torch
import torch.nn.functional as F
from oracle import Fixture, made

f = Fixture()
x = made((6, 4), 1)
weights = torch.tensor([0.5, 2.0, 0.0, 1.25], dtype=torch.float64)
labels = torch.tensor([1, 0, 3, 2, 1, 3])
ignored = torch.tensor([1, -100, 3, 2, -100, 3])
for reduction in ("mean", "sum", "none"):
    for weighted in (False, True):
        for some in (False, True):
            for smoothing in (0.0, 0.3, 1.0):
                name = f"ce.{reduction}.{int(weighted)}{int(some)}.{smoothing}"
                loss = F.cross_entropy(
                    3 * x,
                    ignored if some else labels,
                    weight=weights if weighted else None,
                    ignore_index=-100,
                    reduction=reduction,
                    label_smoothing=smoothing)
                f.add(name, loss, (x,))
            loss = F.nll_loss(
                x, ignored if some else labels, weight=weights if weighted else None, reduction=reduction)
            f.add(f"nll.{reduction}.{int(weighted)}{int(some)}", loss, (x,))
# A class in range may be the ignored one, and all may be.
f.add("ce.class", F.cross_entropy(x, labels, weight=weights, ignore_index=3, label_smoothing=0.1), (x,))
f.add("ce.none", F.cross_entropy(x, torch.full((6,), -100)))
f.add("nll.none", F.nll_loss(x, torch.full((6,), -100)))
f.save(__file__)
