# SPDX-License-Identifier: Apache-2.0
"""LAMP's scores and masks from their definition, with PyTorch; writes lamp.inc.

    python3 lamp.py > lamp.inc

Nothing is sorted for a score: each weight's denominator is a sum over all weights of its layer, picked
by a comparison. A second round scores other values of what survived the first. Made with PyTorch 2.13.
"""

import torch

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (5, 6), "1.weight": (4, 5), "2.weight": (3, 4)}
ROUNDS = (0.5, 0.8)


def lamp(weight, mask):
    w = weight.flatten()[mask.flatten()]
    place = torch.arange(len(w))
    larger = w.abs()[None, :] > w.abs()[:, None]
    equal = (w.abs()[None, :] == w.abs()[:, None]) & (place[None, :] <= place[:, None])
    scores = torch.zeros(weight.numel(), dtype=torch.float64)
    scores[mask.flatten()] = w ** 2 / ((larger | equal) * w[None, :] ** 2).sum(1)
    return scores.reshape(weight.shape)


def main():
    head("lamp.py")
    g = torch.Generator().manual_seed(7)
    masks = {name: torch.ones(shape, dtype=torch.bool) for name, shape in SHAPES.items()}
    total = sum(mask.numel() for mask in masks.values())
    for number, sparsity in enumerate(ROUNDS):
        scores = {}
        for layer, (name, shape) in enumerate(SHAPES.items()):
            weight = sixty_fourths(shape, g, 0.2 * 5.0 ** layer)
            show(f"{number} {name}", weight)
            scores[name] = lamp(weight, masks[name])
            show(f"scores {number} {name}", scores[name])
        ranked = torch.cat([torch.where(masks[n], scores[n], -1.0).flatten() for n in SHAPES]).sort(descending=True)
        kept = total - int(total * sparsity + 0.5)
        assert ranked.values[kept - 1] > ranked.values[kept] > 0
        stays = torch.zeros(total, dtype=torch.bool)
        stays[ranked.indices[:kept]] = True
        for (name, shape), part in zip(SHAPES.items(), stays.split([m.numel() for m in masks.values()])):
            masks[name] = part.reshape(shape)
            show(f"mask {number} {name}", masks[name])


if __name__ == "__main__":
    main()
