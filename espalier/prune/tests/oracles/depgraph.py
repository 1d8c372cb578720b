# SPDX-License-Identifier: Apache-2.0
"""DepGraph's decay and choice by their formulas, with PyTorch; writes depgraph.inc.

    python3 depgraph.py > depgraph.inc

conv 2>4, batch norm, ReLU; residual block conv 4>5, batch norm, ReLU, conv 5>4, batch norm; mean over the plane;
linear 4>3. The groups are written down by hand: the sum with all that makes or reads it, and the block's inside.
Three steps of SGD under the decay, then two rounds that remove a quarter and half of all weights; what is gone is
zeroed by hand. Made with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (4, 2, 3, 3), "1.weight": (4,), "1.bias": (4,), "3.main.0.weight": (5, 4, 3, 3),
          "3.main.1.weight": (5,), "3.main.1.bias": (5,), "3.main.3.weight": (4, 5, 3, 3), "3.main.4.weight": (4,),
          "3.main.4.bias": (4,), "6.weight": (3, 4), "6.bias": (3,)}
# Members as (parameter, dimension of the channel).
GROUPS = [[("0.weight", 0), ("1.weight", 0), ("3.main.0.weight", 1), ("3.main.3.weight", 0), ("3.main.4.weight", 0),
           ("6.weight", 1)],
          [("3.main.0.weight", 0), ("3.main.1.weight", 0), ("3.main.3.weight", 1)]]
WEIGHTS = ("0.weight", "3.main.0.weight", "3.main.3.weight", "6.weight")
STRENGTH, ALPHA, RATE = 0.02, 4.0, 0.1


def network(p, x):
    def norm(h, name):
        return F.batch_norm(h, None, None, p[name + ".weight"], p[name + ".bias"], training=True)

    h = F.relu(norm(F.conv2d(x, p["0.weight"], padding=1), "1"))
    inner = F.relu(norm(F.conv2d(h, p["3.main.0.weight"], padding=1), "3.main.1"))
    h = F.relu(h + norm(F.conv2d(inner, p["3.main.3.weight"], padding=1), "3.main.4"))
    return F.linear(h.mean((2, 3)), p["6.weight"], p["6.bias"])


def importance(p, group):
    return torch.stack([p[n].detach().transpose(0, dim).flatten(1).pow(2).sum(1) if p[n].dim() > 1
                        else p[n].detach() ** 2 for n, dim in group]).mean(0)


def along(values, parameter, dim):
    return values.reshape([-1 if d == dim else 1 for d in range(parameter.dim())])


def main():
    head("depgraph.py")
    g = torch.Generator().manual_seed(4)
    p = {n: sixty_fourths(s, g, 0.4, 1.0 if len(s) == 1 and n.endswith("weight") else 0.0) for n, s in SHAPES.items()}
    images, labels = sixty_fourths((6, 2, 4, 4), g, 1.0), torch.randint(0, 3, (6,), generator=g)
    for name, value in list(p.items()) + [("images", images), ("labels", labels)]:
        show(name, value)
    for group, number in zip(GROUPS, "01"):
        show("importance " + number, importance(p, group), 14)
    for _ in range(3):
        for value in p.values():
            value.requires_grad_()
            value.grad = None
        F.cross_entropy(network(p, images), labels).backward()
        with torch.no_grad():
            for group in GROUPS:
                root = importance(p, group).sqrt()
                factor = 2 ** (ALPHA * (root.max() - root) / (root.max() - root.min()))
                for name, dim in group:
                    p[name].grad += STRENGTH * along(factor, p[name], dim) * p[name]
            for value in p.values():
                value -= RATE * value.grad
    p = {n: v.detach() for n, v in p.items()}
    for name in ("1.weight", "3.main.0.weight", "3.main.1.bias", "6.weight"):
        show("after " + name, p[name], 13)
    dead = [set(), set()]
    total = sum(p[n].numel() for n in WEIGHTS)

    def left():
        keep = [4 - len(dead[0]), 5 - len(dead[1])]
        return keep[0] * 2 * 9 + 2 * keep[0] * keep[1] * 9 + 3 * keep[0]

    for sparsity in (0.25, 0.5):
        ranked = []
        for i, group in enumerate(GROUPS):
            values = importance(p, group)
            living = [c for c in range(len(values)) if c not in dead[i]]
            mean = values[living].mean()
            ranked += [(float(values[c] / mean), i, c) for c in living]
        for _, i, c in sorted(ranked):
            if left() <= int(total * (1 - sparsity) + 0.5):
                break
            dead[i].add(c)
            for name, dim in GROUPS[i]:
                p[name].select(dim, c).zero_()
        for i in range(2):
            show(f"gone {sparsity:g} {i}", torch.tensor([float(c in dead[i]) for c in range((4, 5)[i])]))


if __name__ == "__main__":
    main()
