# SPDX-License-Identifier: Apache-2.0
"""Eight steps of PyTorch's (2.14, CPU, float64) RMSprop, Adagrad and Muon. Gradients shrink and grow. PyTorch's
Muon orthogonalizes in bfloat16; here it is told not to, so that the iteration is its own in float64. Writes
optimizers.npz."""
import torch
from oracle import Fixture, made

torch.Tensor.bfloat16 = lambda self: self.clone()

f = Fixture()


def steps(name, kind, shape, states, **settings):
    w = made(shape, 1)
    optimizer = kind([w], **settings)
    for step in range(8):
        w.grad = made(shape, step + 2, grad=False) * (3.0 if step % 5 == 1 else 0.2)
        optimizer.step()
        if step in (0, 1, 7):
            f.add(f"{name}.{step}", w)
    for state in states:
        f.add(f"{name}.{state}", optimizer.state[w][state])


rmsprop, adagrad, muon = torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.Muon
steps("rmsprop", rmsprop, (2, 3), ["square_avg"], lr=0.05, alpha=0.9, weight_decay=0.1)
steps("rmsprop_momentum", rmsprop, (2, 3), ["square_avg", "momentum_buffer"], lr=0.05, alpha=0.9, momentum=0.8)
steps("rmsprop_centered", rmsprop, (2, 3), ["square_avg", "grad_avg"], lr=0.05, alpha=0.9, centered=True)
steps("rmsprop_both", rmsprop, (2, 3), ["square_avg", "momentum_buffer", "grad_avg"], lr=0.05, alpha=0.9,
      momentum=0.8, centered=True, weight_decay=0.1)
steps("adagrad", adagrad, (2, 3), ["sum"], lr=0.05, weight_decay=0.1)
steps("adagrad_decay", adagrad, (2, 3), [], lr=0.05, lr_decay=0.1, initial_accumulator_value=0.3)
steps("muon_wide", muon, (3, 5), [], lr=0.05, momentum=0.9, weight_decay=0.1)
steps("muon_tall", muon, (6, 2), [], lr=0.05, momentum=0.9, nesterov=False, weight_decay=0.0)
steps("muon_adam", muon, (4, 4), [], lr=0.05, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
f.save(__file__)
