# SPDX-License-Identifier: Apache-2.0
"""SNIP over all batches and the repair to isometry, with PyTorch; writes orthogonal_snip.inc.

    python3 orthogonal_snip.py > orthogonal_snip.inc

The gradient of the un-squared norm comes from autograd, on the matrix (k k c_in, c_out). Weights that stay after 40
steps are written, and the norm of each layer before and after. Made with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (5, 2, 3, 3), "3.weight": (4, 45)}
DENSITY, STEPS, RATE = 0.4, 40, 0.1


def gap(e):
    matrix = e.reshape(e.shape[0], -1).T
    return torch.linalg.matrix_norm(matrix.T @ matrix - torch.eye(e.shape[0], dtype=e.dtype))


def main():
    head("orthogonal_snip.py")
    g = torch.Generator().manual_seed(11)
    weights = {n: sixty_fourths(s, g, 0.4) for n, s in SHAPES.items()}
    for name, value in weights.items():
        show(name, value)
    total = {n: torch.zeros_like(w) for n, w in weights.items()}
    for k in range(3):
        x, labels = sixty_fourths((3, 2, 3, 3), g, 1.0), torch.randint(0, 4, (3,), generator=g)
        show(f"x {k}", x)
        show(f"labels {k}", labels)
        e = {n: w.clone().requires_grad_() for n, w in weights.items()}
        h = F.relu(F.conv2d(x, e["0.weight"], padding=1))
        F.cross_entropy(h.flatten(1) @ e["3.weight"].T, labels).backward()
        for n in SHAPES:
            total[n] += e[n].grad
    scores = torch.cat([(total[n] * weights[n]).abs().flatten() for n in SHAPES])
    kept = int(len(scores) * DENSITY + 0.5)
    ranked = scores.sort(descending=True)
    assert ranked.values[kept - 1] > ranked.values[kept] + 1e-7
    chosen = torch.zeros(len(scores), dtype=torch.float64)
    chosen[ranked.indices[:kept]] = 1
    for (name, w), part in zip(weights.items(), chosen.split([w.numel() for w in weights.values()])):
        mask = part.reshape(w.shape)
        w = w.clone()
        before = gap(w * mask)
        for _ in range(STEPS):
            w.requires_grad_()
            (d,) = torch.autograd.grad(gap(w * mask), w)
            w = (w - RATE * d).detach()
        show(f"norms {name}", torch.stack([before, gap(w * mask)]))
        show(f"repaired {name}", w * mask)


if __name__ == "__main__":
    main()
