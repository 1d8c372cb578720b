# SPDX-License-Identifier: Apache-2.0
"""One training step of FTWT by PyTorch (2.13, CPU, float64), with each rule for what fired: losses and the gradients of
all parameters. `dropped` is the rule of the published code (cumulative sums above r + 1e-5 go). Writes ftwt.npz.

Network: conv 3>4, batch norm, ReLU; two convolutions 4>4 with batch norm, mask, ReLU; mean over space; linear 4>3. A
head is a softmax over the means of its convolution's input and linear 4>4."""
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "autograd/tests"))
from oracles.oracle import Fixture, made  # noqa: E402

torch.set_default_dtype(torch.float64)
f = Fixture()
WEIGHT, MASS, SHARE, SAMPLES = 0.7, 0.8, 0.6, 6


def fired(a, rule):
    values, order = a.sort(dim=1, descending=True, stable=True)
    sums = (values / values.sum(1, keepdim=True)).cumsum(1)
    before = sums - values / values.sum(1, keepdim=True)
    if rule == "dropped":
        chosen = sums <= MASS + 1e-5
    elif rule == "kept":
        chosen = before < MASS
    else:
        # The smallest mass that chooses as many: of all entries those with least in front of them.
        before = torch.where(values > 0, before, torch.inf)
        limit = before.flatten().sort().values[round(SHARE * before.numel())]
        chosen = before < limit
        assert chosen.sum() == round(SHARE * before.numel()), (chosen.sum(), before)
    return torch.zeros_like(a).scatter(1, order, chosen.to(a.dtype))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv0, self.norm0 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.heads = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.fc = nn.Linear(4, 3)

    def forward(self, x, rule):
        x = F.relu(self.norm0(self.conv0(x)))
        head_loss = 0.0
        for (conv, norm), head in zip(((self.conv1, self.norm1), (self.conv2, self.norm2)), self.heads):
            z = head(F.softmax(x.detach().mean((2, 3)), dim=1))
            y = norm(conv(x))
            right = fired(F.relu(y.detach()).amax((2, 3)), rule)
            head_loss = head_loss + F.binary_cross_entropy(torch.sigmoid(z), right, reduction="none").mean(0).sum() / 2
            mask = (torch.sigmoid(z) > 0.5).to(y.dtype)
            assert 0 < mask.sum() < mask.numel()
            x = F.relu(y * mask.reshape(SAMPLES, 4, 1, 1))
        return self.fc(x.mean((2, 3))), head_loss


for rule in ("share", "kept", "dropped"):
    net = Net()
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(made(p.shape, i + 1, grad=False))
    logits, head_loss = net(made((SAMPLES, 3, 4, 4), 31, grad=False), rule)
    loss, penalty = F.cross_entropy(logits, torch.tensor([0, 1, 2, 2, 1, 0])), WEIGHT * head_loss
    f.add(rule + ".loss", loss.reshape(1))
    f.add(rule + ".penalty", penalty.reshape(1))
    gradients = torch.autograd.grad(loss + penalty, list(net.parameters()))
    f.add(rule + ".gradients", torch.cat([g.reshape(-1) for g in gradients]))
    print(rule, loss.item(), penalty.item())
f.save(__file__)
