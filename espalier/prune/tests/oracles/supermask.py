# SPDX-License-Identifier: Apache-2.0
"""A Bernoulli mask's gradients and its weights in evaluation, with PyTorch; writes supermask.inc.

    python3 supermask.py > supermask.inc

The masks are those of evaluation, the most probable weights of each layer (draws are Espalier's to make); the
straight-through gradient is an autograd function, and the sum of the mask has its gradient. A convolution 2>3,
ReLU, a linear layer 27>3. Made with PyTorch 2.13.
"""

import torch
import torch.nn.functional as F

from fixture import head, show, sixty_fourths

SHAPES = {"0.weight": (3, 2, 3, 3), "3.weight": (3, 27)}
KEPT = {"0.weight": 22, "3.weight": 32}


class Drawn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, p, mask):
        return mask.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def run(weights, logits, masks, x, labels, rescaled):
    e = {}
    for n in SHAPES:
        m = Drawn.apply(torch.sigmoid(logits[n]), masks[n])
        e[n] = weights[n] * m * (m.numel() / m.sum() if rescaled else 1.0)
    h = F.relu(F.conv2d(x, e["0.weight"], padding=1))
    return F.cross_entropy(h.flatten(1) @ e["3.weight"].T, labels), e


def main():
    head("supermask.py")
    g = torch.Generator().manual_seed(5)
    weights = {n: sixty_fourths(s, g, 0.5) for n, s in SHAPES.items()}
    logits = {n: sixty_fourths(s, g, 1.0) + torch.randperm(torch.Size(s).numel(), generator=g).reshape(s) / 8192 for n, s in SHAPES.items()}
    for n in SHAPES:
        show(n, weights[n])
        show(f"logits {n}", logits[n])
    x, labels = sixty_fourths((4, 2, 3, 3), g, 1.0), torch.randint(0, 3, (4,), generator=g)
    show("x", x)
    show("labels", labels)
    masks = {}
    for n in SHAPES:
        chosen = torch.zeros_like(weights[n]).flatten()
        chosen[logits[n].flatten().sort(descending=True).indices[:KEPT[n]]] = 1
        masks[n] = chosen.reshape(weights[n].shape)
        show(f"mask {n}", masks[n])
    for rescaled in (True, False):
        t = {n: logits[n].clone().requires_grad_() for n in SHAPES}
        loss, e = run(weights, t, masks, x, labels, rescaled)
        loss.backward()
        word = "rescaled" if rescaled else "unscaled"
        show(f"loss {word}", loss)
        for n in SHAPES:
            show(f"{word} gradient {n}", t[n].grad, 12)
            if rescaled:
                show(f"effective {n}", e[n], 12)


if __name__ == "__main__":
    main()
