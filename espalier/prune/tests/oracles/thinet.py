# SPDX-License-Identifier: Apache-2.0
"""ThiNet on two layers, with PyTorch's convolutions and least squares; writes thinet.inc.

    python3 thinet.py > thinet.inc

conv 3>6, batch norm, ReLU, conv 6>5, ReLU, conv 5>4 of stride 2. What a channel adds is a convolution
of that channel alone, at every output and position: no Gram matrix. Made with PyTorch 2.13.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

SPARSITY = 0.5


def choose(vectors, removed):
    gone, total = [], torch.zeros_like(vectors[0])
    for _ in range(removed):
        costs = {c: float((total + x).square().sum()) for c, x in enumerate(vectors) if c not in gone}
        first, second = sorted(costs.values())[:2]
        assert second > 1.001 * first
        gone.append(min(costs, key=costs.get))
        total = total + vectors[gone[-1]]
    return [c for c in range(len(vectors)) if c not in gone]


def main():
    head("thinet.py")
    g = torch.Generator().manual_seed(5)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
                        nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 3, stride=2)).double().eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            tensor.copy_(sixty_fourths(tensor.shape, g, 0.3, 1.0 if name in ("1.weight", "1.running_var") else 0.0))
            if name == "1.running_var":
                tensor.copy_(tensor.abs() + 0.25)
            show(name, tensor)
        images = sixty_fourths((4, 3, 5, 5), g, 1.0, 0.25)
        show("images", images)
        for maker, reader in ((0, 3), (3, 5)):
            x, layer = net[:reader](images), net[reader]
            vectors = [F.conv2d(x[:, c:c + 1], layer.weight[:, c:c + 1], stride=layer.stride,
                                padding=layer.padding).flatten() for c in range(layer.in_channels)]
            keep = choose(vectors, int(SPARSITY * len(vectors) + 0.5))
            wanted = torch.stack(vectors, 1).sum(1, keepdim=True)
            factors = torch.linalg.lstsq(torch.stack([vectors[c] for c in keep], 1), wanted).solution.flatten()
            show(f"kept {maker}", torch.tensor([float(c in keep) for c in range(len(vectors))]))
            show(f"factors {maker}", factors)
            for c in range(len(vectors)):
                layer.weight[:, c] *= float(factors[keep.index(c)]) if c in keep else 0.0
                if c in keep:
                    continue
                net[maker].weight[c] = 0.0
                for parts in ([net[1].weight, net[1].bias] if maker == 0 else [net[3].bias],):
                    for part in parts:
                        part[c] = 0.0
        show("after 3.weight", net[3].weight, 8)
        show("after 5.weight", net[5].weight, 8)


if __name__ == "__main__":
    main()
