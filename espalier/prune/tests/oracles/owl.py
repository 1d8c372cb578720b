# SPDX-License-Identifier: Apache-2.0
"""OWL's densities and masks from their definition, with PyTorch; writes owl.inc.

    python3 owl.py > owl.inc

Three blocks of linear layers, 64, 128 and 32 weights. Scores are |w| times the norm of the input; blocks
are pruned one after another, so that the next is scored on what the pruned ones give. Made with PyTorch
2.13.
"""

import torch

from fixture import head, show, sixty_fourths

LAYERS = {"0.0.weight": (8, 8), "1.0.weight": (8, 8), "1.1.weight": (8, 8), "2.0.weight": (4, 8)}
M, LAMBDA, SPARSITY = 2.0, 0.2, 0.5


def run(weights, x):
    inputs = {}
    for name in LAYERS:
        inputs[name] = x
        x = x @ weights[name].T
    return inputs


def wanda(weights, x, names):
    inputs = run(weights, x)
    return {name: weights[name].abs() * inputs[name].square().sum(0).sqrt() for name in names}


def lowest(scores, count):  # of equal ones the higher index goes
    n = scores.numel()
    goes = torch.zeros(n, dtype=torch.bool)
    goes[n - 1 - scores.flatten().flip(0).argsort(stable=True)[:count]] = True
    return goes.reshape(scores.shape)


def main():
    head("owl.py")
    g = torch.Generator().manual_seed(29)
    weights = {name: sixty_fourths(shape, g, 0.4) for name, shape in LAYERS.items()}
    weights["1.0.weight"][:, 3] *= 4
    x = sixty_fourths((16, 8), g, 1.0)
    x[:, 5] *= 3
    for name in LAYERS:
        show(name, weights[name])
    show("images", x)

    scores = wanda(weights, x, LAYERS)
    blocks = sorted({name[0] for name in LAYERS})
    pooled = {b: torch.cat([scores[n].flatten() for n in LAYERS if n[0] == b]) for b in blocks}
    shares = torch.tensor([float((pooled[b] > M * pooled[b].mean()).double().mean()) for b in blocks])
    show("shares", shares)
    ratio = 2 * LAMBDA * (shares - shares.min()) / (shares.max() - shares.min())
    sizes = torch.tensor([float(len(pooled[b])) for b in blocks])
    density = 1 - SPARSITY + ratio - (ratio * sizes).sum() / sizes.sum()
    assert density.min() > 0 and density.max() < 1
    wanted = torch.tensor([float(density[int(n[0])]) * weights[n].numel() for n in LAYERS], dtype=torch.float64)
    kept = wanted.floor()
    for i in (wanted - kept).argsort(descending=True)[:round(float(wanted.sum())) - int(kept.sum())]:
        kept[i] += 1
    show("kept", kept)

    for name, count in zip(LAYERS, kept):
        show(f"magnitude {name}", ~lowest(weights[name].abs(), weights[name].numel() - int(count)))
    pruned = {name: w.clone() for name, w in weights.items()}
    for block in blocks:
        names = [n for n in LAYERS if n[0] == block]
        scores = wanda(pruned, x, names)
        for name in names:
            rows, count = LAYERS[name][0], int(kept[list(LAYERS).index(name)])
            stays = [count // rows + (r < count % rows) for r in range(rows)]
            goes = torch.stack([lowest(s, 8 - k) for s, k in zip(scores[name], stays)])
            show(f"wanda {name}", ~goes)
            pruned[name] = pruned[name] * ~goes


if __name__ == "__main__":
    main()
