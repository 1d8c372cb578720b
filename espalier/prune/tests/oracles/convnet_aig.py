# SPDX-License-Identifier: Apache-2.0
"""One training step of ConvNet-AIG by PyTorch (2.13, CPU, float64) without noise: decisions, losses, the gradients of
all parameters, and the answers in evaluation after it. Heads, the softmax of two classes and the loss of rates are as
in the published code (convnet_aig.py, gumbelmodule.py). Writes convnet_aig.npz.

Network: conv 3>4, batch norm, ReLU; three residual blocks of 1x1 conv, batch norm, ReLU, conv, batch norm, of
which the first is always run; mean over space; linear 4>3. A head is linear 4>16 without bias, batch norm, ReLU,
linear 16>2, of the means of its block's input; a gate multiplies the branch before the block's last ReLU."""
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "autograd/tests"))
from oracles.oracle import Fixture, made  # noqa: E402

torch.set_default_dtype(torch.float64)
f = Fixture()
WEIGHT, TARGET, GATES, SAMPLES = 2.0, 0.6, 2, 6
SHIFTS = (0.0, -1.0)  # so that both gates are open for some images


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x, gate=1.0):
        return F.relu(x + gate * self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(4, 16, bias=False), nn.BatchNorm1d(16), nn.Linear(16, 2)

    def forward(self, x):
        logits = self.fc2(F.relu(self.norm(self.fc1(x.mean((2, 3))))))
        soft = F.softmax(logits, dim=1)
        hard = F.one_hot(logits.argmax(1), 2).to(soft.dtype)
        return (hard - soft.detach() + soft)[:, 1:]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList(Block() for _ in range(1 + GATES))
        self.heads = nn.ModuleList(Head() for _ in range(GATES))
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = self.blocks[0](F.relu(self.norm(self.stem(x))))
        opened = []
        for block, head in zip(self.blocks[1:], self.heads):
            opened.append(head(x))
            x = block(x, opened[-1].reshape(-1, 1, 1, 1))
        return self.fc(x.mean((2, 3))), torch.cat(opened, 1)


net = Net()
with torch.no_grad():
    for i, p in enumerate(net.parameters()):
        p.copy_(made(p.shape, i + 1, grad=False))
    for head, shift in zip(net.heads, SHIFTS):
        head.fc2.bias[1] += shift
images = made((SAMPLES, 3, 4, 4), 31, grad=False)
labels = torch.tensor([0, 1, 2, 2, 1, 0])
logits, opened = net(images)
rates = opened.mean(0)
print(opened.detach().T, rates.tolist())
assert ((rates > 0) & (rates < 1)).all()
loss, penalty = F.cross_entropy(logits, labels), WEIGHT * ((rates - TARGET) ** 2).mean()
f.add("open", opened)
f.add("loss", loss.reshape(1))
f.add("penalty", penalty.reshape(1))
gradients = torch.autograd.grad(loss + penalty, list(net.parameters()))
f.add("gradients", torch.cat([g.reshape(-1) for g in gradients]))
f.add("running mean", net.heads[1].norm.running_mean)
net.eval()
f.add("answers in evaluation", net(images)[0])
f.save(__file__)
