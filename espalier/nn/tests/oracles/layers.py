# SPDX-License-Identifier: Apache-2.0
"""What PyTorch (2.13, CPU, float64) says of layers: norms without affine, Conv1d, ConvTranspose2d,
GRU and attention with masks, with the gradients of input and parameters. Writes layers.npz."""
import torch
from torch import nn
from oracle import Fixture, fill, made

torch.set_default_dtype(torch.float64)
f = Fixture()


def run(name, module, *inputs):
    module = fill(module)
    f.add(name, module(*inputs), [*inputs, *module.parameters()])
    return module


planes = made((3, 4, 2, 2), 1)
norm = nn.BatchNorm2d(4, affine=False)
run("batch_norm", norm, planes)
f.add("batch_norm.mean", norm.running_mean)
f.add("batch_norm.var", norm.running_var)
run("batch_norm.eval", norm.eval(), planes)
run("group_norm", nn.GroupNorm(2, 4, affine=False), planes)
run("layer_norm", nn.LayerNorm((2, 2), elementwise_affine=False), planes)

sequence = made((2, 4, 7), 2)
run("conv1d", nn.Conv1d(4, 3, 3), sequence)
run("conv1d.all", nn.Conv1d(4, 6, 2, stride=2, padding=1, dilation=3, groups=2, bias=False), sequence)
small = made((2, 4, 3, 2), 3)
run("transpose", nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1, groups=2), small)

steps = made((2, 3, 3), 4)
gru = fill(nn.GRU(3, 2, num_layers=2, batch_first=True))
state = made((2, 2, 2), 5)
output = gru(steps, state)[0]
f.add("gru", output, [steps, state, *gru.parameters()])
f.add("gru.hidden", gru(steps, state)[1], [steps, state])
f.add("gru.zeros", gru(steps)[0], [steps])

heads = fill(nn.MultiheadAttention(4, 2, batch_first=True)).train()
x, memory = made((2, 3, 4), 6), made((2, 5, 4), 8)


def attend(name, key, **masks):
    y, _ = heads(x, key, key, need_weights=True, **masks)
    f.add(name, y, [x] if key is x else [x, key])


pairs = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.bool)
padding = torch.tensor([[0, 0, 1], [0, 1, 0]], dtype=torch.bool)
attend("attention", x)
attend("attention.pairs", x, attn_mask=pairs)
attend("attention.padding", x, key_padding_mask=padding)
attend("attention.added", x, attn_mask=made((3, 3), 9, grad=False))
attend("attention.each", x, attn_mask=made((4, 3, 3), 10, grad=False))
attend("attention.both", x, attn_mask=made((3, 3), 9, grad=False),
       key_padding_mask=torch.zeros(2, 3).masked_fill(padding, float("-inf")))
attend("attention.causal", x, attn_mask=torch.triu(torch.ones(3, 3, dtype=torch.bool), 1),
       key_padding_mask=torch.tensor([[0, 0, 1], [0, 1, 1]], dtype=torch.bool))
attend("attention.memory", memory, key_padding_mask=torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0, 1]],
                                                                dtype=torch.bool))
f.save(__file__)
