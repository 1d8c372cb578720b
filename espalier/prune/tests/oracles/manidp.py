# SPDX-License-Identifier: Apache-2.0
"""Two training steps of ManiDP by PyTorch (2.13, CPU, float64), each an epoch of its own, with the same weights: the
first, in which all is open and no image easy, sets thresholds and the limit of easy images. Losses, prices and the
gradients of all parameters. Writes manidp.npz.

Network: conv 3>4, batch norm, ReLU; two convolutions 4>4 with batch norm, gate, ReLU; mean over space; linear 4>3. A
gate is linear 4>2 without bias, ReLU, linear 2>4, ReLU, of the means of its convolution's input; it multiplies what
batch norm gives."""
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "autograd/tests"))
from oracles.oracle import Fixture, made  # noqa: E402

torch.set_default_dtype(torch.float64)
f = Fixture()
LASSO, SIMILARITY, LIMIT, DENSITY, SAMPLES = 0.3, 0.7, 1.0, 0.5, 6


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 2, bias=False), nn.Linear(2, 4)

    def forward(self, x):
        return F.relu(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv0, self.norm0 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.gates = nn.ModuleList(Gate() for _ in range(2))
        self.fc = nn.Linear(4, 3)
        self.thresholds = [-1e4, -1e4]

    def forward(self, x):
        x = F.relu(self.norm0(self.conv0(x)))
        pis, features, opened = [], [], 0
        layers = ((self.conv1, self.norm1), (self.conv2, self.norm2))
        for (conv, norm), gate, threshold in zip(layers, self.gates, self.thresholds):
            pi = gate(x)
            y = norm(conv(x))
            pis.append(pi)
            features.append(F.relu(y).mean((2, 3)))
            opened += int((pi >= threshold).sum())
            x = F.relu(y * (pi * (pi >= threshold)).reshape(SAMPLES, 4, 1, 1))
        return self.fc(x.mean((2, 3))), pis, features, opened


def cosines(a):
    unit = F.normalize(a, dim=1, eps=1e-12)
    return unit @ unit.T


net = Net()
with torch.no_grad():
    for i, p in enumerate(net.parameters()):
        p.copy_(made(p.shape, i + 1, grad=False))
images, labels = made((SAMPLES, 3, 4, 4), 31, grad=False), torch.tensor([0, 1, 2, 2, 1, 0])
last_loss = 0.0
for epoch in ("first", "second"):
    logits, pis, features, opened = net(images)
    losses = F.cross_entropy(logits, labels, reduction="none")
    limit = LIMIT * last_loss
    ease = ((limit - losses.detach()) / limit).clamp(min=0) if limit > 0 else torch.zeros(SAMPLES)
    penalty = 0.0
    for pi, feature in zip(pis, features):
        penalty = penalty + LASSO * (ease * pi.mean(1)).mean()
        penalty = penalty + SIMILARITY * ((cosines(feature) - cosines(pi)) ** 2).sum() / SAMPLES**2
    f.add(epoch + ".loss", losses.mean().reshape(1))
    f.add(epoch + ".penalty", penalty.reshape(1))
    gradients = torch.autograd.grad(losses.mean() + penalty, list(net.parameters()))
    f.add(epoch + ".gradients", torch.cat([g.reshape(-1) for g in gradients]))
    print(epoch, losses.tolist(), ease.tolist(), penalty.item(), opened)
    if epoch == "second":
        assert 0 < opened < 2 * 4 * SAMPLES - 4 and int((ease > 0).sum()) > 1
        break
    last_loss = losses.mean().item()
    kept = math.ceil((DENSITY + (1 - DENSITY) * 0.5 * (1 + math.cos(math.pi / 2))) * 4 - 1e-9)
    net.thresholds = [pi.detach().mean(0).sort(descending=True).values[kept - 1].item() for pi in pis]
    f.add("thresholds", torch.tensor(net.thresholds))
f.save(__file__)
