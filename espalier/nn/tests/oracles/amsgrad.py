# SPDX-License-Identifier: Apache-2.0
"""Twelve steps of PyTorch's (2.13, CPU, float64) Adam and AdamW with AMSGrad. Gradients shrink and
grow, so that the largest mean square is not the newest. Writes amsgrad.npz."""
import torch
from oracle import Fixture, made

f = Fixture()
for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
    w = made((2, 3), 1)
    optimizer = kind([w], lr=0.05, betas=(0.8, 0.9), weight_decay=0.1, amsgrad=True)
    for step in range(12):
        w.grad = made((2, 3), step + 2, grad=False) * (3.0 if step % 5 == 1 else 0.2)
        optimizer.step()
        f.add(f"{name}.{step}", w)
    f.add(f"{name}.largest", optimizer.state[w]["max_exp_avg_sq"])
f.save(__file__)
