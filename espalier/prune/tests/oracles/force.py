# SPDX-License-Identifier: Apache-2.0
"""FORCE and iterative SNIP by their definition, with PyTorch; writes force.inc.

    python3 force.py > force.inc

Masks are tensors that multiply the weights in the forward pass, and sensitivities the gradients by these
masks at m (for FORCE: times w instead of m w). Round k has batch k. Made with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (7, 6), "2.weight": (5, 7), "4.weight": (3, 5)}
DENSITY, ROUNDS = 0.2, 3


def effective_gradients(weights, masks, x, labels):
    effective = [(w * m).requires_grad_() for w, m in zip(weights, masks)]
    h = x
    for i, e in enumerate(effective):
        h = h @ e.T
        if i + 1 < len(effective):
            h = F.relu(h)
    F.cross_entropy(h, labels).backward()
    return [e.grad for e in effective]


def main():
    head("force.py")
    g = torch.Generator().manual_seed(4)
    weights = [sixty_fourths(s, g, (2.0 / s[1]) ** 0.5) for s in SHAPES.values()]
    for name, weight in zip(SHAPES, weights):
        show(name, weight)
    batches = []
    for k in range(ROUNDS):
        x, labels = sixty_fourths((8, 6), g, 1.0), torch.randint(0, 3, (8,), generator=g)
        batches.append((x, labels))
        show(f"x {k}", x)
        show(f"labels {k}", labels)
    total = sum(w.numel() for w in weights)
    for variant in ("force", "iterative-snip"):
        masks = [torch.ones_like(w) for w in weights]
        for k, (x, labels) in enumerate(batches):
            grads = effective_gradients(weights, masks, x, labels)
            scores = [(w * d).abs() if variant == "force" else (w * m * d).abs() for w, m, d in zip(weights, masks, grads)]
            flat = torch.cat([s.flatten() for s in scores])
            if variant != "force":
                flat = torch.where(torch.cat([m.flatten() for m in masks]) > 0, flat, -1.0)
            kept = int(total * DENSITY ** ((k + 1) / ROUNDS) + 0.5)
            ranked = flat.sort(descending=True)
            assert ranked.values[kept - 1] > ranked.values[kept] + 1e-9
            chosen = torch.zeros(total, dtype=torch.float64)
            chosen[ranked.indices[:kept]] = 1
            returned = 0
            before, masks = masks, [c.reshape(w.shape) for c, w in zip(chosen.split([w.numel() for w in weights]), weights)]
            returned = sum(int((m > b).sum()) for m, b in zip(masks, before))
            print(f"    // {variant}, round {k}: {kept} stay, {returned} came back")
            for name, score, mask in zip(SHAPES, scores, masks):
                show(f"{variant} {k} score {name}", score, 12)
                show(f"{variant} {k} mask {name}", mask)


if __name__ == "__main__":
    main()
