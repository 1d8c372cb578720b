# SPDX-License-Identifier: Apache-2.0
"""What PyTorch says of Taylor, Fisher and SSL on one small network; writes published_scores.inc.

    python3 published_scores.py > published_scores.inc

Independent of Espalier: gates are tensors of ones behind each batch norm, and autograd does the
rest. The network: conv 3>4, batch norm, ReLU, conv 4>6, batch norm, ReLU, mean over the plane,
linear 6>3, with inputs, weights and labels of a seed. Numbers of the inputs are multiples of 1/64,
so that they are the same in float32 and in text. Made with PyTorch 1.13.
"""

import torch
from torch import nn
from torch.nn import functional as F

SAMPLES, SIZE, CLASSES, BATCHES = 5, 5, 3, 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x, gates=(1.0, 1.0, 1.0)):
        x = F.relu(self.bn1(self.conv1(x)) * gates[0])
        x = F.relu(self.bn2(self.conv2(x)) * gates[1])
        return self.fc(x.mean(dim=(2, 3))) * gates[2]


def sixty_fourths(shape, generator, scale, shift=0.0):
    values = torch.randn(shape, generator=generator, dtype=torch.float64) * scale + shift
    return torch.round(values * 64) / 64


def make():
    g = torch.Generator().manual_seed(20)
    net = Net().double()
    with torch.no_grad():
        for name, p in net.named_parameters():
            shift = 1.0 if name.startswith("bn") and name.endswith("weight") else 0.0
            p.copy_(sixty_fourths(p.shape, g, 0.3, shift))
        for name, b in net.named_buffers():
            if name.endswith("mean"):
                b.copy_(sixty_fourths(b.shape, g, 0.3))
            if name.endswith("var"):
                b.copy_(sixty_fourths(b.shape, g, 0.3).abs() + 0.5)
    batches = []
    for _ in range(BATCHES):
        images = sixty_fourths((SAMPLES, 3, SIZE, SIZE), g, 1.0, 0.25)
        batches.append((images, torch.randint(0, CLASSES, (SAMPLES,), generator=g)))
    return net, batches


WEIGHTS = ("conv1.weight", "conv2.weight", "fc.weight")


def gate_gradients(net, images, labels):
    """Of every sample's own gates: (samples, channels) for each of the three layers."""
    ones = [torch.ones(len(images), 4, 1, 1), torch.ones(len(images), 6, 1, 1),
            torch.ones(len(images), CLASSES)]
    gates = [o.double().requires_grad_() for o in ones]
    loss = F.cross_entropy(net(images, gates), labels)
    return [g.flatten(1) * len(images) for g in torch.autograd.grad(loss, gates)]


def scores(train):
    net, batches = make()
    net.train(train)
    out = {}
    per_sample = [gate_gradients(net, *batch) for batch in batches]
    for layer, weight in enumerate(WEIGHTS):
        gates = [batch[layer] for batch in per_sample]
        out["gate " + weight] = sum(g.mean(0) ** 2 for g in gates) / BATCHES
        absolute = sum(g.abs().mean(0) for g in gates) / BATCHES
        out["absolute " + weight] = absolute / absolute.norm()
        out["fisher " + weight] = torch.cat(gates).pow(2).mean(0) / 2
    squares = [torch.zeros_like(net.get_parameter(w)) for w in WEIGHTS]
    for images, labels in batches:
        loss = F.cross_entropy(net(images), labels)
        found = torch.autograd.grad(loss, [net.get_parameter(w) for w in WEIGHTS])
        for s, g, w in zip(squares, found, WEIGHTS):
            s += (g * net.get_parameter(w).detach()) ** 2 / BATCHES
    for s, w in zip(squares, WEIGHTS):
        out["sum-of-squares " + w] = s.flatten(1).sum(1)
    return out


def ssl(steps=6, lr=0.05, momentum=0.9, filters=0.02, channels=0.01, cut=1e-4):
    """SGD on the loss and a group lasso, small weights cut after each step, as published."""
    net, batches = make()
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    conv1, conv2, fc = (net.get_parameter(w) for w in WEIGHTS)
    for step in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(batches[step % BATCHES][0]), batches[step % BATCHES][1])
        # The images' channels and the classes are no groups: they can't go.
        loss = loss + filters * (conv1.flatten(1).norm(dim=1).sum() + conv2.flatten(1).norm(dim=1).sum())
        loss = loss + channels * (conv2.transpose(0, 1).flatten(1).norm(dim=1).sum() + fc.norm(dim=0).sum())
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for p in (conv1, conv2, fc):
                p[p.abs() < cut] = 0.0
    return {w: net.get_parameter(w).detach() for w in WEIGHTS}


def show(name, tensor, digits=None):
    values = [repr(v) if digits is None else f"{v:.{digits}g}" for v in tensor.flatten().tolist()]
    lines, line = [], "   "
    for value in values:
        if len(line) + len(value) + 2 > 98:
            lines.append(line)
            line = "   "
        line += " " + value + ","
    print(f'    {{"{name}",\n     {{' + "\n".join(lines + [line]).strip().rstrip(",") + "}},")


def main():
    print("// SPDX-License-Identifier: Apache-2.0")
    print("// Written by published_scores.py. Names, and values in the order of memory.")
    net, batches = make()
    names = {"conv1": "0", "bn1": "1", "conv2": "3", "bn2": "4", "fc": "8"}
    for name, tensor in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            module, what = name.split(".")
            show(f"{names[module]}.{what}", tensor)
    for number, (images, labels) in enumerate(batches):
        show(f"images {number}", images)
        show(f"labels {number}", labels.double())
    short = {w: names[w.split(".")[0]] + ".weight" for w in WEIGHTS}
    for mode in ("train", "eval"):
        for name, tensor in scores(mode == "train").items():
            form, weight = name.split(" ")
            show(f"{mode} {form} {short[weight]}", tensor, 15)
    for name, tensor in ssl().items():
        show(f"ssl {short[name]}", tensor, 15)


if __name__ == "__main__":
    main()
