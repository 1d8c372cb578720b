# SPDX-License-Identifier: Apache-2.0
"""A hybrid ticket from the first step to the last, with PyTorch; writes hybrid_tickets.inc.

    python3 hybrid_tickets.py > hybrid_tickets.inc

Six steps of full-batch descent with momentum and decay (rate 0.1, after three steps 0.02), smart ratios by their
formula with the largest remainders, the largest weights of each layer, and the same six rates again with fresh
momentum. Convolutions 1>4 and 4>4 of 2x2 on 3x3 images of multiples of 1/64, a linear layer 4>3. Made with PyTorch
2.13.
"""

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (4, 1, 2, 2), "2.weight": (4, 4, 2, 2), "5.weight": (3, 4)}
DENSITY, LINEAR, STEPS = 0.4, 0.3, 6


def train(weights, masks, x, labels):
    parameters = {n: w.clone().requires_grad_() for n, w in weights.items()}
    sgd = torch.optim.SGD(parameters.values(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    for step in range(STEPS):
        sgd.param_groups[0]["lr"] = 0.1 if step < 3 else 0.02
        e = {n: parameters[n] * masks[n] for n in parameters}
        h = F.relu(F.conv2d(F.relu(F.conv2d(x, e["0.weight"])), e["2.weight"]))
        sgd.zero_grad()
        F.cross_entropy(h.flatten(1) @ e["5.weight"].T, labels).backward()
        sgd.step()
    return {n: (parameters[n] * masks[n]).detach() for n in parameters}


def main():
    head("hybrid_tickets.py")
    g = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 128, (8, 1, 3, 3), generator=g)
    labels = torch.randint(0, 3, (8,), generator=g)
    show("pixels", pixels)
    show("labels", labels)
    weights = {n: sixty_fourths(s, g, 0.6) for n, s in SHAPES.items()}
    for name, w in weights.items():
        show(name, w)
    x = pixels.double() / 64
    trained = train(weights, {n: torch.ones_like(w) for n, w in weights.items()}, x, labels)

    total = sum(w.numel() for w in weights.values())
    kept = int(total * DENSITY + 0.5)
    raw = {"0.weight": 3 ** 2 + 3, "2.weight": 2 ** 2 + 2}
    wanted = {"5.weight": LINEAR * weights["5.weight"].numel()}
    scale = (kept - wanted["5.weight"]) / sum(weights[n].numel() * r for n, r in raw.items())
    for name, r in raw.items():
        assert r * scale <= 1
        wanted[name] = r * scale * weights[name].numel()
    numbers = {n: int(v) for n, v in wanted.items()}
    by_remainder = sorted(wanted, key=lambda n: numbers[n] - wanted[n])
    for name in by_remainder[:kept - sum(numbers.values())]:
        numbers[name] += 1
    masks = {}
    for name, w in trained.items():
        chosen = torch.zeros(w.numel(), dtype=torch.float64)
        ranked = w.abs().flatten().sort(descending=True)
        assert ranked.values[numbers[name] - 1] > ranked.values[numbers[name]] + 1e-4
        chosen[ranked.indices[:numbers[name]]] = 1
        masks[name] = chosen.reshape(w.shape)
        show(f"mask {name}", masks[name])
    for name, w in train({n: trained[n] * masks[n] for n in trained}, masks, x, labels).items():
        show(f"ticket {name}", w)


if __name__ == "__main__":
    main()
