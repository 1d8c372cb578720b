# SPDX-License-Identifier: Apache-2.0
"""Two steps of MetaPruning's generating networks with PyTorch, in float64; writes meta_pruning.inc.

    python3 meta_pruning.py > meta_pruning.inc

conv 2>4, batch norm, ReLU, conv 1x1 4>3, batch norm, ReLU, mean over the plane, linear 3>2. Channels that
are not in use don't exist here: weights, scales and shifts are sliced. SGD with momentum and decay.
Then the weights of a third choice of widths. Made with PyTorch 2.13.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

HIDDEN, SHAPES = 3, {"0": (4, 2, 3, 3), "3": (3, 4, 1, 1), "8": (2, 3)}
STEPS, CANDIDATE = [(3, 2), (2, 3)], (3, 1)


def widths_of(layer, choice):
    """Inputs and outputs in use."""
    first, second = choice
    return {"0": (2, first), "3": (first, second), "8": (second, 2)}[layer]


def generated(p, layer, choice):
    inputs, outputs = widths_of(layer, choice)
    shape = SHAPES[layer]
    v = torch.tensor([inputs / shape[1], outputs / shape[0]], dtype=torch.float64)
    hidden = F.relu(F.linear(v, p[f"{layer}.encode"], p[f"{layer}.encode_bias"]))
    whole = F.linear(hidden, p[f"{layer}.generate"]).view(shape) + p[f"{layer}.generate_bias"]
    return whole[:outputs, :inputs]


def logits(p, x, choice):
    first, second = choice
    x = F.conv2d(x, generated(p, "0", choice), padding=1)
    x = F.relu(F.batch_norm(x, None, None, p["1.weight"][:first], p["1.bias"][:first], training=True))
    x = F.conv2d(x, generated(p, "3", choice))
    x = F.relu(F.batch_norm(x, None, None, p["4.weight"][:second], p["4.bias"][:second], training=True))
    return F.linear(x.mean((2, 3)), generated(p, "8", choice), p["8.bias"])


def main():
    head("meta_pruning.py")
    g = torch.Generator().manual_seed(3)
    p = {}
    for layer, shape in SHAPES.items():
        size = torch.Size(shape).numel()
        for name, of in (("encode", (HIDDEN, 2)), ("encode_bias", (HIDDEN,)), ("generate", (size, HIDDEN)),
                         ("generate_bias", shape)):
            p[f"{layer}.{name}"] = sixty_fourths(of, g, 0.4, 0.2 if name == "encode_bias" else 0.0)
    for name, size, middle in (("1.weight", 4, 1.0), ("1.bias", 4, 0.0), ("4.weight", 3, 1.0), ("4.bias", 3, 0.0),
                               ("8.bias", 2, 0.0)):
        p[name] = sixty_fourths((size,), g, 0.3, middle)
    for name, tensor in p.items():
        show(name, tensor)
        p[name] = nn.Parameter(tensor)
    images = sixty_fourths((4, 2, 3, 3), g, 1.0)
    labels = torch.randint(0, 2, (4,), generator=g)
    show("images", images)
    show("labels", labels)
    optimizer = torch.optim.SGD(p.values(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    for step, choice in enumerate(STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(logits(p, images, choice), labels)
        show(f"loss {step}", loss.reshape(1))
        loss.backward()
        optimizer.step()
    for name, tensor in p.items():
        show("after " + name, tensor, 8)
    for layer in SHAPES:
        show(f"candidate {layer}", generated(p, layer, CANDIDATE), 8)


if __name__ == "__main__":
    main()
