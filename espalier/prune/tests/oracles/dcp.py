# SPDX-License-Identifier: Apache-2.0
"""DCP with PyTorch's layers, autograd and SGD, in float64; writes dcp.inc.

    python3 dcp.py > dcp.inc

conv 3>6, batch norm, ReLU, conv 6>5, ReLU, conv 5>4 of stride 2, linear 16>3. First the joint loss of
the second convolution with an auxiliary head on its outputs, with two of its channels in. Then the whole
method without auxiliary heads, so that the network's own loss is in each layer's: three steps of
training, and the channels of three layers, one after another. Made with PyTorch 2.13.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from fixture import head, show, sixty_fourths

LAMBDA, KEPT, WARMUP = 0.5, {0: 3, 3: 2, 5: 2}, 3
READER = {0: 3, 3: 5, 5: 7}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)


def loss(net, original, layer, images, labels, classifier=None):
    """Both terms; `classifier` sees what `layer` gives, otherwise it is the network's end."""
    outputs = net[:layer + 1](images)
    logits = classifier(outputs) if classifier else net[layer + 1:](outputs)
    with torch.no_grad():
        wanted = original[:layer + 1](images)
    return (outputs - wanted).square().mean() / 2 + LAMBDA * F.cross_entropy(logits, labels)


def slope(net, original, layer, batches, classifier=None):
    """Means over a pass of the loss and of its gradient in the weight."""
    losses = [loss(net, original, layer, *batch, classifier) for batch in batches]
    mean = sum(losses) / len(losses)
    return mean, torch.autograd.grad(mean, net[layer].weight)[0]


def columns(weight, channels):
    """By channel the columns that read it, of a convolution or behind a flattened plane."""
    return weight.view(weight.shape[0], channels, -1)


def choose(net, original, maker, batches):
    layer, channels = READER[maker], net[maker].out_channels
    weight = net[layer].weight
    whole = columns(weight.detach().clone(), channels)
    chosen = []
    with torch.no_grad():
        weight.zero_()
    while len(chosen) < KEPT[maker]:
        _, gradient = slope(net, original, layer, batches)
        norms = columns(gradient, channels).square().sum((0, 2)).sqrt()
        left = sorted(((float(norms[c]), c) for c in range(channels) if c not in chosen), reverse=True)
        assert left[0][0] > 1.001 * left[1][0], left
        chosen.append(left[0][1])
        mask = torch.zeros_like(weight)
        columns(mask, channels)[:, chosen] = 1.0
        with torch.no_grad():
            columns(weight, channels)[:, chosen[-1]] = whole[:, chosen[-1]]
        optimizer = sgd([weight])
        for images, labels in batches:
            weight.grad = torch.autograd.grad(loss(net, original, layer, images, labels), weight)[0] * mask
            optimizer.step()
            assert (weight * (1 - mask)).abs().max() == 0.0
    return sorted(chosen)


def main():
    head("dcp.py")
    g = torch.Generator().manual_seed(11)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
                        nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 3, stride=2), nn.Flatten(),
                        nn.Linear(16, 3)).double().eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            tensor.copy_(sixty_fourths(tensor.shape, g, 0.3, 1.0 if name in ("1.weight", "1.running_var") else 0.0))
            if name == "1.running_var":
                tensor.copy_(tensor.abs() + 0.25)
            show(name, tensor)
    images = sixty_fourths((4, 3, 5, 5), g, 1.0, 0.25)
    labels = torch.randint(0, 3, (4,), generator=g)
    show("images", images)
    show("labels", labels)
    batches = [(images[:2], labels[:2]), (images[2:], labels[2:])]
    original = copy.deepcopy(net)

    classifier = nn.Sequential(nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                               nn.Linear(5, 3)).double().eval()
    with torch.no_grad():
        for name, tensor in classifier.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            tensor.copy_(sixty_fourths(tensor.shape, g, 0.5, 1.0 if name.startswith("0.") else 0.0))
            if name == "0.running_var":
                tensor.copy_(tensor.abs() + 0.25)
            show("head " + name, tensor)
    middle = copy.deepcopy(net)
    with torch.no_grad():
        middle[3].weight[:, 2:] = 0.0
    value, gradient = slope(middle, original, 3, batches, classifier)
    show("head loss", value.reshape(1))
    show("head gradient", gradient, 8)

    net.train()
    optimizer = sgd(net.parameters())
    for step in range(WARMUP):
        optimizer.zero_grad()
        x, y = batches[step % 2]
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval()
    for maker in READER:
        kept = choose(net, original, maker, batches)
        show(f"kept {maker}", torch.tensor([float(c in kept) for c in range(net[maker].out_channels)]))
        show(f"after {READER[maker]}.weight", net[READER[maker]].weight, 8)
        with torch.no_grad():
            for c in set(range(net[maker].out_channels)) - set(kept):
                net[maker].weight[c] = 0.0
                for part in ([net[1].weight, net[1].bias] if maker == 0 else [net[maker].bias]):
                    part[c] = 0.0


if __name__ == "__main__":
    main()
