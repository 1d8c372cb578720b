# SPDX-License-Identifier: Apache-2.0
"""One training step of SkipNet by PyTorch (2.13, CPU, float64), supervised and by rewards: decisions, losses and
the gradients of all parameters. Decisions, returns and their weights are as in the published code
(cifar/models.py, cifar/train_rl.py). Writes skipnet.npz.

Network: conv 3>4, batch norm, ReLU; three residual blocks of 1x1 conv, batch norm, ReLU, conv, batch norm, of
which the first is always run; mean over space; linear 4>3. A gate is a linear layer of the means of its block's
input, and multiplies the branch before the block's last ReLU."""
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "autograd/tests"))
from oracles.oracle import Fixture, made  # noqa: E402

torch.set_default_dtype(torch.float64)
f = Fixture()
ALPHA, WEIGHT, GATES, SAMPLES = 0.3, 0.7, 2, 6
SHIFTS = (0.065, 1.34)  # so that both gates are open for some images


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x, gate=1.0):
        return F.relu(x + gate * self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList(Block() for _ in range(1 + GATES))
        self.heads = nn.ModuleList(nn.Linear(4, 1) for _ in range(GATES))
        self.fc = nn.Linear(4, 3)

    def forward(self, x, rewards):
        x = self.blocks[0](F.relu(self.norm(self.stem(x))))
        opened, p = [], []
        for block, head in zip(self.blocks[1:], self.heads):
            logit = head(x.mean((2, 3)))
            p.append(torch.sigmoid(logit))
            hard = (p[-1] > 0.5).to(x.dtype)
            # By rewards a decision is drawn: the test's seed draws what is likelier.
            assert not rewards or logit.abs().min() > 1.0, logit
            opened.append(hard if rewards else hard - p[-1].detach() + p[-1])
            x = block(x, opened[-1].reshape(-1, 1, 1, 1))
        return self.fc(x.mean((2, 3))), torch.cat(opened, 1), torch.cat(p, 1)


def fill(net, sharp):
    """Every parameter by its place; heads as sharp as told."""
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(made(p.shape, i + 1, grad=False))
        for i, head in enumerate(net.heads):
            head.weight.copy_(sharp * made((1, 4), 40 + i, grad=False))
            head.bias.copy_(sharp * (made((1,), 50 + i, grad=False) - SHIFTS[i]))


images = made((SAMPLES, 3, 4, 4), 31, grad=False)
labels = torch.tensor([0, 1, 2, 2, 1, 0])
for name, rewards, sharp in (("supervised", False, 1.0), ("rewards", True, 150.0)):
    net = Net()
    fill(net, sharp)
    logits, opened, p = net(images, rewards)
    loss = F.cross_entropy(logits, labels)
    if rewards:
        with torch.no_grad():
            r = -F.cross_entropy(logits, labels, reduction="none")
            returns = []
            for i in reversed(range(GATES)):
                r = r + ALPHA / GATES * (1 - opened[:, i])
                returns.insert(0, r)
            returns = torch.stack(returns, 1)
        chosen = torch.where(opened > 0.5, p, 1 - p)
        penalty = -WEIGHT * (returns * chosen.log()).sum()
    else:
        penalty = ALPHA / GATES * opened.sum(1).mean()
    parameters = list(net.parameters())
    f.add(name + ".open", opened)
    f.add(name + ".loss", loss.reshape(1))
    f.add(name + ".penalty", penalty.reshape(1))
    gradients = torch.autograd.grad(loss + penalty, parameters)
    f.add(name + ".gradients", torch.cat([g.reshape(-1) for g in gradients]))
    print(name, opened.detach().T, loss.item(), penalty.item())
f.save(__file__)
