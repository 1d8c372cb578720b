# SPDX-License-Identifier: Apache-2.0
"""WoodFisher without Woodbury, with PyTorch; writes woodfisher.inc.

    python3 woodfisher.py > woodfisher.inc

A gradient is autograd's of the mean loss of two samples; a block of the Fisher matrix is a sum of outer
products, its inverse is LAPACK's. Weights are ranked, and updates added up, as if each went alone. A
second round does it again to what the first has left. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

INPUTS, HIDDEN, CLASSES, SAMPLES, TOGETHER = 6, 4, 3, 12, 2
BLOCK, DAMPING, ROUNDS = 5, 0.02, (0.4, 0.7)


def main():
    head("woodfisher.py")
    g = torch.Generator().manual_seed(13)
    weights = [sixty_fourths((HIDDEN, INPUTS), g, 0.7), sixty_fourths((CLASSES, HIDDEN), g, 0.7)]
    bias = sixty_fourths((CLASSES,), g, 0.3)
    images = sixty_fourths((SAMPLES, INPUTS), g, 1.0)
    labels = torch.randint(0, CLASSES, (SAMPLES,), generator=g)
    for name, tensor in (("0.weight", weights[0]), ("2.weight", weights[1]), ("2.bias", bias),
                         ("images", images), ("labels", labels)):
        show(name, tensor)
    masks = [torch.ones_like(w) for w in weights]
    total = sum(w.numel() for w in weights)
    for number, sparsity in enumerate(ROUNDS):
        gradients = []
        for first in range(0, SAMPLES, TOGETHER):
            leaves = [w.clone().requires_grad_() for w in weights]
            few = slice(first, first + TOGETHER)
            loss = F.cross_entropy(F.linear(F.relu(F.linear(images[few], leaves[0])), leaves[1], bias), labels[few])
            gradients.append([d * m for d, m in zip(torch.autograd.grad(loss, leaves), masks)])
        inverses, scores = [], []
        for layer, weight in enumerate(weights):
            flat, inverse = weight.flatten(), torch.zeros(weight.numel(), weight.numel(), dtype=torch.float64)
            for i in range(0, len(flat), BLOCK):
                block = slice(i, min(i + BLOCK, len(flat)))
                rows = torch.stack([gradient[layer].flatten()[block] for gradient in gradients])
                fisher = rows.T @ rows / len(rows) + DAMPING * torch.eye(rows.shape[1], dtype=torch.float64)
                inverse[block, block] = torch.linalg.inv(fisher)
            inverses.append(inverse)
            scores.append(flat ** 2 / inverse.diagonal() / 2)
            show(f"scores {number} {2 * layer}.weight", scores[-1] * masks[layer].flatten())
        alive = torch.cat([m.flatten() for m in masks]).bool()
        ranked = torch.where(alive, torch.cat(scores), torch.inf).sort()
        going = int(total * sparsity + 0.5) - int((~alive).sum())
        assert ranked.values[going - 1] < ranked.values[going]
        goes = torch.zeros(total, dtype=torch.bool)
        goes[ranked.indices[:going]] = True
        for layer, part in enumerate(goes.split([w.numel() for w in weights])):
            flat = weights[layer].flatten()
            change = -(inverses[layer] / inverses[layer].diagonal())[:, part] @ flat[part]
            masks[layer] = masks[layer] * ~part.reshape(masks[layer].shape)
            weights[layer] = (flat + change).reshape(weights[layer].shape) * masks[layer]
            show(f"repaired {number} {2 * layer}.weight", weights[layer])


if __name__ == "__main__":
    main()
