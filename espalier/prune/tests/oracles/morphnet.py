# SPDX-License-Identifier: Apache-2.0
"""What PyTorch says of MorphNet's penalty on one small network; writes morphnet.inc.

    python3 morphnet.py > morphnet.inc

Independent of Espalier: the formula of the published code (bilinear terms, depthwise apart, max
grouping, living channels as constants) in tensors, and autograd does the rest. The network, on
3x8x8 images: conv a 3>4 3x3, batch norm; conv b 4>4 3x3, batch norm, plus what a gave; ReLU;
depthwise c 4 3x3 stride 2, batch norm; conv d 4>6 1x1, batch norm; mean over the plane; linear 6>3.
Channels of a, b and c are one group: a sum, and a depthwise layer behind it. Cost is in
multiply-accumulates or weights. Scales are multiples of 1/64. Made with PyTorch 2.13.
"""

import torch

THRESHOLD = 0.01
# positions of the output, taps
MACS = {"a": 64 * 9, "b": 64 * 9, "c": 16 * 9, "d": 16, "fc": 1}
PARAMS = {"a": 9, "b": 9, "c": 9, "d": 1, "fc": 1}


def scales():
    g = torch.Generator().manual_seed(2)
    gammas = {}
    for name, width in (("a", 4), ("b", 4), ("c", 4), ("d", 6)):
        gammas[name] = torch.round(torch.randn(width, generator=g, dtype=torch.float64) * 32) / 64
    gammas["a"][1] = gammas["b"][1] = gammas["c"][1] = 0.0  # a dead channel of the group
    gammas["b"][2] = 0.0  # dead in b alone: the group lives
    gammas["d"][0] = 1 / 128  # below the threshold
    gammas["d"][3] = -1 / 128
    return {name: gamma.requires_grad_() for name, gamma in gammas.items()}


def penalty(gammas, unit):
    """(penalty, cost now, cost when all live)."""
    r = torch.maximum(torch.maximum(gammas["a"].abs(), gammas["b"].abs()), gammas["c"].abs())
    s = gammas["d"].abs()
    alive_r, alive_s = (r > THRESHOLD).sum().double(), (s > THRESHOLD).sum().double()
    image, logits = 3.0, 3.0  # always alive, not penalized
    total = unit["a"] * (image * r.sum())
    total = total + unit["b"] * (alive_r * r.sum() + alive_r * r.sum())
    total = total + unit["c"] * (r.sum() + r.sum())
    total = total + unit["d"] * (alive_r * s.sum() + alive_s * r.sum())
    total = total + unit["fc"] * (logits * s.sum())

    def cost(n, m):
        return (unit["a"] * image * n + unit["b"] * n * n + unit["c"] * n + unit["d"] * n * m
                + unit["fc"] * m * logits)

    return total, cost(alive_r, alive_s), cost(4.0, 6.0)


def show(name, values):
    print(f'    {{"{name}", {{' + ", ".join(f"{float(v):.15g}" for v in torch.as_tensor(values).detach()) + "}},")


def main():
    print("// SPDX-License-Identifier: Apache-2.0")
    print("// Written by morphnet.py. Names, and values in the order of memory.")
    for name, gamma in scales().items():
        show(f"gamma {name}", gamma.detach())
    for kind, unit in (("macs", MACS), ("params", PARAMS)):
        gammas = scales()
        total, now, dense = penalty(gammas, unit)
        total.backward()
        show(f"{kind} penalty", total.reshape(1))
        show(f"{kind} cost", [now, dense])
        for name, gamma in gammas.items():
            show(f"{kind} gradient {name}", gamma.grad)


if __name__ == "__main__":
    main()
