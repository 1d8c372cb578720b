# SPDX-License-Identifier: Apache-2.0
"""Gate decorator's scores and a tick with PyTorch; writes gate_decorator.inc.

    python3 gate_decorator.py > gate_decorator.inc

conv 2>4, batch norm, ReLU; residual block conv 4>5, batch norm, ReLU, conv 5>4, batch norm; mean over the plane;
linear 4>3. Batch norms are decorated as in the paper: out = phi * (x + bias) with leaves phi = gamma and bias =
beta / gamma clamped to -10 .. 10, and autograd gives dL/dphi. Scale, shift and the linear layer are then moved by
three steps of SGD with momentum and weight decay, convolutions stay, and the scores of the steps are added. Made
with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (4, 2, 3, 3), "1.weight": (4,), "1.bias": (4,), "3.main.0.weight": (5, 4, 3, 3),
          "3.main.1.weight": (5,), "3.main.1.bias": (5,), "3.main.3.weight": (4, 5, 3, 3), "3.main.4.weight": (4,),
          "3.main.4.bias": (4,), "6.weight": (3, 4), "6.bias": (3,)}
NORMS = ("1", "3.main.1", "3.main.4")
MOVED = [n for n in SHAPES if n.split(".weight")[0] not in ("0", "3.main.0", "3.main.3")]


def network(p, x, norm):
    h = F.relu(norm(F.conv2d(x, p["0.weight"], padding=1), "1"))
    inner = F.relu(norm(F.conv2d(h, p["3.main.0.weight"], padding=1), "3.main.1"))
    h = F.relu(h + norm(F.conv2d(inner, p["3.main.3.weight"], padding=1), "3.main.4"))
    return F.linear(h.mean((2, 3)), p["6.weight"], p["6.bias"])


def main():
    head("gate_decorator.py")
    g = torch.Generator().manual_seed(3)
    p = {n: sixty_fourths(s, g, 0.4, 1.0 if len(s) == 1 and n.endswith("weight") else 0.25) for n, s in SHAPES.items()}
    p["3.main.1.weight"][2] = -0.25
    p["3.main.1.bias"][2] = 1.5
    images, labels = sixty_fourths((6, 2, 4, 4), g, 1.0), torch.randint(0, 3, (6,), generator=g)
    for name, value in list(p.items()) + [("images", images), ("labels", labels)]:
        show(name, value)
    sums = {n: torch.zeros(SHAPES[n + ".weight"], dtype=torch.float64) for n in NORMS}
    momentum = {}
    for _ in range(3):
        phi = {n: p[n + ".weight"].clone().requires_grad_() for n in NORMS}
        bias = {n: p[n + ".bias"] / p[n + ".weight"] for n in NORMS}

        def decorated(h, n):
            x = F.batch_norm(h, None, None, training=True)
            return phi[n][:, None, None] * (x + bias[n][:, None, None])

        F.cross_entropy(network(p, images, decorated), labels).backward()
        for n in NORMS:
            assert bias[n].abs().max() < 10
            sums[n] += (phi[n] * phi[n].grad).abs().detach()
        for value in p.values():
            value.requires_grad_()
            value.grad = None
        F.cross_entropy(network(p, images, lambda h, n: F.batch_norm(
            h, None, None, p[n + ".weight"], p[n + ".bias"], training=True)), labels).backward()
        with torch.no_grad():
            for n in MOVED:
                momentum[n] = 0.9 * momentum.get(n, 0.0) + p[n].grad + 0.01 * p[n]
                p[n] -= 0.1 * momentum[n]
        p = {n: v.detach() for n, v in p.items()}
    show("scores 0", sums["1"] + sums["3.main.4"])
    show("scores 1", sums["3.main.1"])
    for n in MOVED:
        show("after " + n, p[n], 13)


if __name__ == "__main__":
    main()
