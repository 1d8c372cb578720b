# SPDX-License-Identifier: Apache-2.0
"""Group Fisher scores by their definition, with PyTorch; writes group_fisher.inc.

    python3 group_fisher.py > group_fisher.inc

conv 2>4, batch norm, ReLU; depthwise conv 4, batch norm; residual block conv 4>5, batch norm, ReLU, conv 5>4, batch
norm; mean over the plane; linear 4>3. Every layer that reads channels multiplies them by a mask of ones (N,C), one
for all readers of a group; batch norm uses the batch's statistics. Two batches of six and four samples. Costs are
counted by hand. Made with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (4, 2, 3, 3), "1.weight": (4,), "1.bias": (4,), "3.weight": (4, 1, 3, 3), "4.weight": (4,),
          "4.bias": (4,), "5.main.0.weight": (5, 4, 3, 3), "5.main.1.weight": (5,), "5.main.1.bias": (5,),
          "5.main.3.weight": (4, 5, 3, 3), "5.main.4.weight": (4,), "5.main.4.bias": (4,), "8.weight": (3, 4),
          "8.bias": (3,)}


def network(p, x, stream, inner):
    def norm(h, name):
        return F.batch_norm(h, None, None, p[name + ".weight"], p[name + ".bias"], training=True)

    def masked(h, mask):
        return h * (mask[:, :, None, None] if h.dim() == 4 else mask)

    h = F.relu(norm(F.conv2d(x, p["0.weight"], padding=1), "1"))
    h = norm(F.conv2d(masked(h, stream), p["3.weight"], padding=1, groups=4), "4")
    own = F.relu(norm(F.conv2d(masked(h, stream), p["5.main.0.weight"], padding=1), "5.main.1"))
    h = F.relu(h + norm(F.conv2d(masked(own, inner), p["5.main.3.weight"], padding=1), "5.main.4"))
    return F.linear(masked(h.mean((2, 3)), stream), p["8.weight"], p["8.bias"])


def main():
    head("group_fisher.py")
    g = torch.Generator().manual_seed(8)
    p = {n: sixty_fourths(s, g, 0.4, 1.0 if len(s) == 1 and n.endswith("weight") else 0.0) for n, s in SHAPES.items()}
    for name, value in p.items():
        show(name, value)
    squares, samples = [torch.zeros(4, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)], 0
    for i, n in enumerate((6, 4)):
        images, labels = sixty_fourths((n, 2, 4, 4), g, 1.0), torch.randint(0, 3, (n,), generator=g)
        show(f"images {i}", images)
        show(f"labels {i}", labels)
        masks = [torch.ones((n, c), dtype=torch.float64, requires_grad=True) for c in (4, 5)]
        F.cross_entropy(network(p, images, *masks), labels, reduction="sum").backward()
        for s, m in zip(squares, masks):
            s += (m.grad ** 2).sum(0)
        samples += n
    plane = 16
    memory = (3 * plane, plane)  # conv 0, the depthwise one and the block's last; the block's first
    for i in range(2):
        fisher = squares[i] / (2 * samples)
        show(f"fisher {i}", fisher)
        show(f"over memory {i}", fisher / memory[i])


if __name__ == "__main__":
    main()
