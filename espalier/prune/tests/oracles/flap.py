# SPDX-License-Identifier: Apache-2.0
"""FLAP's scores, and a network with its channels cut out, with PyTorch; writes flap.inc.

    python3 flap.py > flap.inc

Convolution, ReLU, convolution without bias, batch norm, ReLU, linear. Fluctuations and means are torch's
over all positions. Channels are not masked but cut out; the second convolution's lost mean goes to the
batch norm's running mean, the linear layer's to its bias. Made with PyTorch 2.13.
"""

import torch
from torch.nn import functional as F

from fixture import head, show, sixty_fourths


def patches(x):  # (positions, channels, taps), zeros in the padding
    return F.unfold(x, 3, padding=1).transpose(1, 2).reshape(-1, x.shape[1], 9)


def standard(s):
    return (s - s.mean()) / s.std()


def norm(x, p):
    return F.relu(F.batch_norm(x, p["3.running_mean"], p["3.running_var"], p["3.weight"], p["3.bias"]))


def main():
    head("flap.py")
    g = torch.Generator().manual_seed(31)
    p = {"0.weight": sixty_fourths((4, 3, 3, 3), g, 0.4), "0.bias": sixty_fourths((4,), g, 0.5),
         "2.weight": sixty_fourths((5, 4, 3, 3), g, 0.3),
         "3.weight": sixty_fourths((5,), g, 0.2, 1.0), "3.bias": sixty_fourths((5,), g, 0.3),
         "3.running_mean": sixty_fourths((5,), g, 0.3), "3.running_var": sixty_fourths((5,), g, 0.1, 1.0).abs(),
         "6.weight": sixty_fourths((3, 45), g, 0.3), "6.bias": sixty_fourths((3,), g, 0.2)}
    images = sixty_fourths((6, 3, 3, 3), g, 1.0)
    for name, tensor in (*p.items(), ("images", images)):
        show(name, tensor)

    first = F.relu(F.conv2d(images, p["0.weight"], p["0.bias"], padding=1))
    second = norm(F.conv2d(first, p["2.weight"], padding=1), p)
    x, y = patches(first), second.flatten(1).reshape(6, 5, 9)
    fluctuation = (x.var(0) * p["2.weight"].reshape(5, 4, 9).square().sum(0)).sum(1)
    weight = p["6.weight"].reshape(3, 5, 9)
    scores = [standard(fluctuation), standard((y.var(0) * weight.square().sum(0)).sum(1))]
    kept = [s.argsort(descending=True)[:2].sort().values for s in scores]  # a half of 4 and of 5
    gone = [[c for c in range(len(s)) if c not in k] for s, k in zip(scores, kept)]
    for name, s in zip(("0.weight", "2.weight"), scores):
        show(f"scores {name}", s)
    lost = torch.einsum("oct,ct->o", p["2.weight"].reshape(5, 4, 9)[:, gone[0]], x.mean(0)[gone[0]])
    bias = p["6.bias"] + torch.einsum("oct,ct->o", weight[:, gone[1]], y.mean(0)[gone[1]])
    show("mean", p["3.running_mean"] - lost)
    show("bias", bias)
    cut = {"3.running_mean": (p["3.running_mean"] - lost)[kept[1]],
           **{k: p[k][kept[1]] for k in ("3.running_var", "3.weight", "3.bias")}}
    small = F.relu(F.conv2d(images, p["0.weight"][kept[0]], p["0.bias"][kept[0]], padding=1))
    small = norm(F.conv2d(small, p["2.weight"][kept[1]][:, kept[0]], padding=1), cut)
    show("outputs", F.linear(small.flatten(1), weight[:, kept[1]].reshape(3, -1), bias))


if __name__ == "__main__":
    main()
