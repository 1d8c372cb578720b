# SPDX-License-Identifier: Apache-2.0
"""What PyTorch says of two training steps of edge-popup on one small network; writes edge_popup.inc.

    python3 edge_popup.py > edge_popup.inc

Independent of Espalier: the choice is an autograd function that passes the gradient straight
through, and torch.optim.SGD moves the scores. The network: conv 2>3, batch norm without scale and
shift, ReLU, linear 27>3 with a bias that stays. 40% of each layer's weights are in use; they are
plus or minus the kept fraction's standard deviation. Numbers of the inputs are multiples of 1/64,
so that they are the same in float32 and in text; no |score| comes twice. Made with PyTorch 2.13.
"""

import textwrap

import torch
from torch.nn import functional as F

KEPT = {"0": 22, "4": 32}  # of 54 and of 81
STEPS = 2


class Chosen(torch.autograd.Function):
    @staticmethod
    def forward(ctx, size, k):
        mask = torch.zeros_like(size).flatten()
        mask[size.flatten().sort().indices[-k:]] = 1.0
        return mask.reshape(size.shape)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def sixty_fourths(shape, generator, scale):
    return torch.round(torch.randn(shape, generator=generator, dtype=torch.float64) * scale * 64) / 64


def distinct_scores(shape, generator):
    count = torch.Size(shape).numel()
    size = (torch.randperm(count, generator=generator) + 1) / 512
    sign = torch.randint(0, 2, (count,), generator=generator) * 2 - 1
    return (size * sign).double().reshape(shape)


def signed_constant(weight, kept):
    fan_in = weight[0].numel()
    gain = torch.nn.init.calculate_gain("relu")
    return weight.sign() * gain / (fan_in * kept / weight.numel()) ** 0.5


def main():
    g = torch.Generator().manual_seed(20)
    raw = {"0": sixty_fourths((3, 2, 3, 3), g, 0.3), "4": sixty_fourths((3, 27), g, 0.3)}
    for weight in raw.values():
        weight[weight == 0] = 1 / 64
    bias = sixty_fourths((3,), g, 0.3)
    batches = [(sixty_fourths((4, 2, 3, 3), g, 1.0), torch.randint(0, 3, (4,), generator=g)) for _ in range(STEPS)]
    scores = {name: distinct_scores(weight.shape, g).requires_grad_() for name, weight in raw.items()}
    weights = {name: signed_constant(weight, KEPT[name]) for name, weight in raw.items()}

    def put(name, tensor):
        numbers = ", ".join(f"{x:.8g}" for x in tensor.detach().double().flatten().tolist())
        print("\n".join(textwrap.wrap(f'{{"{name}", {{{numbers}}}}},', 96, initial_indent="    ", subsequent_indent="     ")))

    print("// SPDX-License-Identifier: Apache-2.0")
    print("// Written by edge_popup.py. Names, and values in the order of memory.")
    for name in raw:
        put(f"{name}.raw", raw[name])
        put(f"{name}.size", weights[name].abs().flatten()[:1])
        put(f"{name}.start", scores[name])
    put("bias", bias)
    optimizer = torch.optim.SGD(scores.values(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    for step, (images, labels) in enumerate(batches):
        put(f"images.{step}", images)
        put(f"labels.{step}", labels)
        used = {name: weights[name] * Chosen.apply(scores[name].abs(), KEPT[name]) for name in raw}
        x = F.relu(F.batch_norm(F.conv2d(images, used["0"], padding=1), None, None, training=True))
        loss = F.cross_entropy(F.linear(x.flatten(1), used["4"], bias), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        put(f"loss.{step}", loss)
    for name in raw:
        put(f"{name}.scores", scores[name])
        put(f"{name}.mask", Chosen.apply(scores[name].abs(), KEPT[name]))


main()
