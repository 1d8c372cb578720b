# SPDX-License-Identifier: Apache-2.0
"""The masks of all criteria for one layer's first and last weights, with PyTorch; writes mask_criteria.inc.

    python3 mask_criteria.py > mask_criteria.inc

Scores and a full sort; 12 of 40 weights stay. Made with PyTorch 2.13.
"""

import torch

from fixture import head, show, sixty_fourths


def main():
    head("mask_criteria.py")
    g = torch.Generator().manual_seed(2)
    tie = torch.randperm(40, generator=g).reshape(5, 8) / 65536
    v = sixty_fourths((5, 8), g, 0.5) + tie
    w = v + sixty_fourths((5, 8), g, 0.6)
    show("first", v)
    show("last", w)
    a = v.abs().mean() / w.abs().mean()
    scores = {
        "large-final": w.abs(),
        "small-final": -w.abs(),
        "large-init": v.abs(),
        "large-init-large-final": torch.minimum(a * w.abs(), v.abs()),
        "magnitude-increase": w.abs() - v.abs(),
        "movement": (w - v).abs(),
        "large-final-same-sign": torch.clamp(v * w / v.abs(), min=0),
    }
    for name, s in scores.items():
        ranked = s.flatten().sort(descending=True, stable=True)
        mask = torch.zeros(40)
        mask[ranked.indices[:12]] = 1
        show(name, mask)


if __name__ == "__main__":
    main()
