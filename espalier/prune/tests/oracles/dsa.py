# SPDX-License-Identifier: Apache-2.0
"""DSA's keep probabilities and gradients with PyTorch, in float64; writes dsa.inc.

    python3 dsa.py > dsa.inc

First p for some shares and sharpnesses, and dp/dalpha by differences. Then conv 2>4, batch norm, ReLU,
gates, conv 1x1 4>3, batch norm, ReLU, gates, mean over the plane, linear 3>2, with gates that pass the
gradient on to p, and p a function of alpha by its implicit equation. Made with PyTorch 2.13.
"""

import math

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

MASKS = [torch.tensor([1.0, 0.0, 1.0, 1.0]).double(), torch.tensor([0.0, 1.0, 1.0]).double()]
ALPHAS, SHARPNESS = [0.6, 0.7], 2.0


def open_at(b, at, sharpness):
    """p, with exponents as the published code keeps them."""
    return torch.sigmoid((sharpness * (b.log() - at)).clamp(-20, 20))


def threshold(b, alpha, sharpness):
    """log beta1, by bisection."""
    low, high = -60.0, 60.0
    for _ in range(200):
        middle = (low + high) / 2
        mean = open_at(b, middle, sharpness).mean().item()
        low, high = (middle, high) if mean > alpha else (low, middle)
    return (low + high) / 2


def keep(b, alpha, sharpness):
    """p, with its derivative by alpha: one step of Newton's on the tape, from the solution."""
    at = torch.tensor(threshold(b, alpha.item(), sharpness), dtype=torch.float64, requires_grad=True)
    mean = open_at(b, at, sharpness).mean()
    slope = torch.autograd.grad(mean, at)[0]
    mean = open_at(b, at.detach(), sharpness).mean()
    solved = at.detach() + (alpha - mean) / slope
    return open_at(b, solved, sharpness)


def main():
    head("dsa.py")
    g = torch.Generator().manual_seed(5)
    b = sixty_fourths((6,), g, 0.5).abs() + 1 / 64
    show("importance", b)
    for case, (alpha, sharpness) in enumerate(((0.3, 1.0), (0.5, 3.0), (0.85, 8.0))):
        def p(share):
            return open_at(b, threshold(b, share, sharpness), sharpness)
        assert math.isclose(p(alpha).mean().item(), alpha, rel_tol=1e-12)
        show(f"case {case}", torch.tensor([alpha, sharpness], dtype=torch.float64))
        show(f"open {case}", p(alpha), 12)
        show(f"slope {case}", (p(alpha + 1e-6) - p(alpha - 1e-6)) / 2e-6, 12)

    p = {}
    for name, shape, middle in (("0.weight", (4, 2, 3, 3), 0.0), ("1.weight", (4,), 0.8), ("1.bias", (4,), 0.0),
                                ("3.weight", (3, 4, 1, 1), 0.0), ("4.weight", (3,), 0.8), ("4.bias", (3,), 0.0),
                                ("8.weight", (2, 3), 0.0), ("8.bias", (2,), 0.0)):
        p[name] = sixty_fourths(shape, g, 0.4, middle)
        show(name, p[name])
        p[name].requires_grad_(True)
    images = sixty_fourths((4, 2, 3, 3), g, 1.0)
    labels = torch.randint(0, 2, (4,), generator=g)
    show("images", images)
    show("labels", labels)
    alphas = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in ALPHAS]
    gates = []
    for norm, alpha, mask in zip(("1.weight", "4.weight"), alphas, MASKS):
        open_ = keep(p[norm].detach().abs(), alpha, SHARPNESS)
        gates.append(open_ + (mask - open_).detach())
        gates[-1].retain_grad()
    x = F.conv2d(images, p["0.weight"], padding=1)
    x = F.relu(F.batch_norm(x, None, None, p["1.weight"], p["1.bias"], training=True)) * gates[0][:, None, None]
    x = F.conv2d(x, p["3.weight"])
    x = F.relu(F.batch_norm(x, None, None, p["4.weight"], p["4.bias"], training=True)) * gates[1][:, None, None]
    F.cross_entropy(F.linear(x.mean((2, 3)), p["8.weight"], p["8.bias"]), labels).backward()
    for site in range(2):
        show(f"gates {site}", gates[site].grad, 10)
        show(f"alpha {site}", alphas[site].grad.reshape(1), 10)
    for name in ("0.weight", "1.weight", "1.bias", "3.weight", "4.bias", "8.weight"):
        show(f"gradient {name}", p[name].grad, 8)


if __name__ == "__main__":
    main()
