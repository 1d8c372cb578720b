# SPDX-License-Identifier: Apache-2.0
"""The exact brain surgeon on layers' rows by brute force, with PyTorch; writes exact_obs.inc.

    python3 exact_obs.py > exact_obs.inc

No inverse is updated: what a set of removals costs a row is the least value of its quadratic form over
the weights that are zero there, by solving. A row's next removal is the one whose set costs least; the
rows' removals are made cheapest next one first. A convolution's matrix has the columns (tap, channel).
Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

DAMPING, SPARSITY = 0.01, 0.6


def best_without(h, w, gone):
    stay = [i for i in range(len(w)) if i not in gone]
    v = torch.zeros_like(w)
    if stay:
        v[stay] = w[stay]
        if gone:
            v[stay] += torch.linalg.solve(h[stay][:, stay], h[stay][:, gone] @ w[gone])
    return v, float((v - w) @ h @ (v - w)) / 2


def next_removal(h, w, gone, free):
    costs = [(best_without(h, w, gone + [q])[1], q) for q in range(len(w)) if q not in gone and free(gone, q)]
    return min(costs) if costs else None


def surgery(matrix, x, cell):
    h = 2 / len(x) * x.T @ x
    h += DAMPING * h.diagonal().mean() * torch.eye(len(h), dtype=torch.float64)
    gone = [[] for _ in matrix]
    if cell:
        keep, size = cell
        free = lambda row, q: sum(g // size == q // size for g in row) < size - keep
        for r, w in enumerate(matrix):
            while found := next_removal(h, w, gone[r], free):
                gone[r].append(found[1])
    else:
        paid = [0.0] * len(matrix)
        for _ in range(int(matrix.numel() * SPARSITY + 0.5)):
            found = [(next_removal(h, w, gone[r], lambda *_: True), r) for r, w in enumerate(matrix)]
            _, (cost, q), r = min((f[0] - paid[r], f, r) for f, r in found if f)
            gone[r].append(q)
            paid[r] = cost
    return torch.stack([best_without(h, w, gone[r])[0] for r, w in enumerate(matrix)])


def taps_first(weight):
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def patches(x):
    rows = F.unfold(x, 2).transpose(1, 2).reshape(-1, x.shape[1], 4)
    return rows.transpose(1, 2).reshape(len(rows), -1)


def main():
    head("exact_obs.py")
    g = torch.Generator().manual_seed(17)
    conv, linear = sixty_fourths((3, 4, 2, 2), g, 0.5), sixty_fourths((4, 12), g, 0.5)
    images = sixty_fourths((9, 4, 3, 3), g, 1.0)
    for name, tensor in (("0.weight", conv), ("3.weight", linear), ("images", images)):
        show(name, tensor)
    for kind, cell in (("unstructured", None), ("2:4", (2, 4))):
        first = surgery(taps_first(conv), patches(images), cell)
        weight = first.reshape(3, 2, 2, 4).permute(0, 3, 1, 2)
        show(f"{kind} 0.weight", weight)
        inputs = F.relu(F.conv2d(images, weight)).flatten(1)  # of what the pruned layer gives
        show(f"{kind} 3.weight", surgery(linear, inputs, cell))


if __name__ == "__main__":
    main()
