#!/usr/bin/env python3
# PyTorch's times for elementwise_bench.cpp: best of some rounds, in milliseconds of wall and of
# processor time. `pip install torch`, then `python3 elementwise.py`.
import time
import torch
import torch.nn.functional as F

torch.manual_seed(1)
OPS = {
    "relu": torch.relu, "clamp": lambda x: torch.clamp(x, 0.0, 6.0),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1), "exp": torch.exp,
    "log_of_square": lambda x: torch.log(x * x), "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu,
    "softplus": F.softplus, "softmax": lambda x: torch.softmax(x, 1),
    "log_softmax": lambda x: torch.log_softmax(x, 1),
}


def best(run):
    wall, cpu = [], []
    for _ in range(25):
        w, c = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - w)
        cpu.append(time.process_time() - c)
    return 1e3 * min(wall), 1e3 * min(cpu)


def backward(op, x):
    x.grad = None
    op(x).sum().backward()


for name, op in OPS.items():
    x = torch.empty(4096, 1024).uniform_(-4.0, 4.0)
    with torch.no_grad():
        wall, cpu = best(lambda: op(x))
    print(f"{name}/forward {wall:.2f} ms wall, {cpu:.2f} ms cpu")
    x.requires_grad_(True)
    wall, cpu = best(lambda: backward(op, x))
    print(f"{name}/sum_backward {wall:.2f} ms wall, {cpu:.2f} ms cpu")
