# SPDX-License-Identifier: Apache-2.0
"""SynFlow-L2's scores and masks by their definition, with PyTorch; writes synflow_l2.inc.

    python3 synflow_l2.py > synflow_l2.inc

A convolution with batch norm, a residual block, mean over the plane, a linear layer with bias; parameters are
replaced by their squares, and the gradient with respect to the squares is multiplied with them. `paths` come from
another way: every path of a small perceptron is written down, and products are squared and summed; `trace` is that
of the matrix of all pairs of paths. Made with PyTorch 2.13.
"""

import itertools

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (4, 2, 3, 3), "3.main.0.weight": (4, 4, 3, 3), "6.weight": (3, 4)}
DENSITY, ROUNDS = 0.1, 4
NO_STATISTICS = (torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64))


def flow(v, gamma, beta, bias, x):
    h = F.relu(F.batch_norm(F.conv2d(x, v["0.weight"], padding=1), *NO_STATISTICS, gamma ** 2, beta ** 2))
    h = F.relu(h + F.conv2d(h, v["3.main.0.weight"], padding=1))
    return F.linear(h.mean((2, 3)), v["6.weight"], bias ** 2).sum()


def scores_of(weights, masks, others, x):
    v = {n: ((weights[n] * masks[n]) ** 2).requires_grad_() for n in weights}
    flow(v, *others, x).backward()
    return {n: (v[n].grad * v[n]).detach() for n in v}


def main():
    head("synflow_l2.py")
    g = torch.Generator().manual_seed(9)
    weights = {n: sixty_fourths(s, g, 0.5) for n, s in SHAPES.items()}
    others = [sixty_fourths((n,), g, 0.3, shift) for n, shift in ((4, 1.0), (4, 0.0), (3, 0.0))]
    for name, value in list(weights.items()) + list(zip(("1.weight", "1.bias", "6.bias"), others)):
        show(name, value)
    x = torch.ones((1, 2, 4, 4), dtype=torch.float64)
    images = sixty_fourths((3, 2, 4, 4), g, 1.0)
    show("images", images)
    masks = {n: torch.ones_like(w) for n, w in weights.items()}
    for name, s in scores_of(weights, masks, others, (images ** 2).mean(0, keepdim=True)).items():
        show(f"mean-square {name}", s, 12)
    total = sum(w.numel() for w in weights.values())
    for k in range(ROUNDS):
        scores = scores_of(weights, masks, others, x)
        if k == 0:
            for name, s in scores.items():
                show(f"score {name}", s, 12)
        flat = torch.where(torch.cat([masks[n].flatten() for n in SHAPES]) > 0, torch.cat([scores[n].flatten() for n in SHAPES]), -1.0)
        kept = int(total * DENSITY ** ((k + 1) / ROUNDS) + 0.5)
        ranked = flat.sort(descending=True)
        assert ranked.values[kept - 1] > ranked.values[kept] * (1 + 1e-6)
        chosen = torch.zeros(total, dtype=torch.float64)
        chosen[ranked.indices[:kept]] = 1
        parts = chosen.split([w.numel() for w in weights.values()])
        masks = {n: c.reshape(weights[n].shape) for n, c in zip(SHAPES, parts)}
    for name, mask in masks.items():
        show(f"mask {name}", mask)

    layers = [sixty_fourths(s, g, 0.7) for s in ((4, 3), (3, 4), (2, 3))]
    for i, w in enumerate(layers):
        show(f"perceptron {i}", w)
    paths = list(itertools.product(*(range(n) for n in (3, 4, 3, 2))))
    sums = [torch.zeros_like(w) for w in layers]
    jacobian = []
    for path in paths:
        edges = [(i, path[i + 1], path[i]) for i in range(3)]
        product = torch.stack([layers[i][o, j] for i, o, j in edges]).prod()
        row = [torch.zeros_like(w) for w in layers]
        for i, o, j in edges:
            sums[i][o, j] += product ** 2
            row[i][o, j] = torch.stack([layers[a][b, c] for a, b, c in edges if a != i]).prod()
        jacobian.append(torch.cat([r.flatten() for r in row]))
    kernel = torch.stack(jacobian) @ torch.stack(jacobian).T
    for i, s in enumerate(sums):
        show(f"paths {i}", s, 12)
    show("trace", kernel.trace())


if __name__ == "__main__":
    main()
