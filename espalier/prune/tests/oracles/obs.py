# SPDX-License-Identifier: Apache-2.0
"""The optimal brain surgeon by brute force, with PyTorch; writes obs.inc.

    python3 obs.py > obs.inc

Nothing here is a recursion: gradients are autograd's, sample by sample; a block of the Fisher matrix
is a sum of outer products; what the removal of a set of weights costs is the least value of the
quadratic form over all weights that are zero there, by solving for the others. The next weight to go
is the one whose set, with those gone before, costs least more. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

INPUTS, HIDDEN, CLASSES, SAMPLES = 6, 4, 3, 10
BLOCK, DAMPING, SPARSITY = 5, 0.02, 0.5


def loss(parameters, image, label):
    first, second, bias = parameters
    hidden = F.relu(F.linear(image, first))
    return F.cross_entropy(F.linear(hidden, second, bias), label)


def blocks(weight):
    return [slice(i, min(i + BLOCK, weight.numel())) for i in range(0, weight.numel(), BLOCK)]


def best_without(fisher, w, gone):
    """The weights nearest to w, in the metric of fisher, that are zero at `gone`; and what it costs."""
    stay = [i for i in range(len(w)) if i not in gone]
    v = torch.zeros_like(w)
    if stay:
        right = fisher[stay][:, gone] @ w[gone] if gone else torch.zeros(len(stay), dtype=w.dtype)
        v[stay] = w[stay] + torch.linalg.solve(fisher[stay][:, stay], right)
    d = v - w
    return v, float(d @ fisher @ d) / 2


def main():
    head("obs.py")
    g = torch.Generator().manual_seed(11)
    weights = [sixty_fourths((HIDDEN, INPUTS), g, 0.7), sixty_fourths((CLASSES, HIDDEN), g, 0.7)]
    bias = sixty_fourths((CLASSES,), g, 0.3)
    images = sixty_fourths((SAMPLES, INPUTS), g, 1.0)
    labels = torch.randint(0, CLASSES, (SAMPLES,), generator=g)
    for name, tensor in (("0.weight", weights[0]), ("2.weight", weights[1]), ("2.bias", bias),
                         ("images", images), ("labels", labels)):
        show(name, tensor)

    parameters = [w.clone().requires_grad_() for w in weights]
    gradients = [torch.autograd.grad(loss((*parameters, bias), images[n:n + 1], labels[n:n + 1]), parameters)
                 for n in range(SAMPLES)]
    parts = []  # layer, entries, Fisher block, weights, gone
    for layer, weight in enumerate(weights):
        for entries in blocks(weight):
            rows = torch.stack([gradient[layer].flatten()[entries] for gradient in gradients])
            fisher = rows.T @ rows / SAMPLES + DAMPING * torch.eye(rows.shape[1], dtype=torch.float64)
            show(f"fisher {layer} {entries.start}", fisher)
            parts.append([layer, entries, fisher, weight.flatten()[entries], []])

    order = []
    for _ in range(round(SPARSITY * sum(w.numel() for w in weights))):
        costs = []
        for number, (layer, entries, fisher, w, gone) in enumerate(parts):
            paid = best_without(fisher, w, gone)[1]
            for q in range(len(w)):
                if q not in gone:
                    costs.append((best_without(fisher, w, gone + [q])[1] - paid, number, q))
        cost, number, q = min(costs)
        parts[number][4].append(q)
        order.append(cost)
    show("costs", torch.tensor(order))
    for layer, weight in enumerate(weights):
        repaired = torch.cat([best_without(f, w, gone)[0] for l, _, f, w, gone in parts if l == layer])
        show(f"repaired {2 * layer}.weight", repaired)


if __name__ == "__main__":
    main()
