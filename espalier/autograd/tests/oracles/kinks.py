#!/usr/bin/env python3
# Writes kinks.inc: values and gradients of PyTorch (float64) where ops have kinks, zeros and
# infinities, for kinks_test.cpp. `pip install torch numpy`, then `python3 kinks.py > kinks.inc`.
# Where PyTorch's gradient is no derivative but rounding of one (subtraction of infinities in a
# composed formula) the case is left out here, with the reason beside it.
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
inf, nan = float("inf"), float("nan")
LINE = [-inf, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, inf, nan]
A = [0.0, 0.0, 0.0, 0.0, -1.0, -2.0, 2.0, inf, 1.0, inf, 0.0, 2.0, -2.0]
B = [0.0, 1.0, 2.0, -1.0, 0.0, 2.0, 0.0, 0.0, inf, 2.0, 0.5, -inf, 0.0]
VECTORS = [[0.0, 0.0, 0.0], [0.0, 3.0, -4.0], [inf, 1.0, 0.0], [-inf, inf, 0.0], [-inf, 1.0, 2.0],
           [-inf, -inf, -inf], [nan, 1.0, 0.0]]


def text(value):
    if value != value:
        return "kNan"
    if value in (inf, -inf):
        return "kInf" if value > 0 else "-kInf"
    return repr(float(value))


def values(tensor):
    return "{" + ", ".join(text(v) for v in tensor.detach().reshape(-1).tolist()) + "}"


def case(name, function, *inputs, incoming=1.0):
    leaves = [torch.tensor(v, requires_grad=True) for v in inputs]
    y = function(*leaves)
    gradients = torch.autograd.grad(y, leaves, torch.full_like(y, incoming))
    lists = ", ".join(values(leaf) for leaf in leaves)
    slopes = ", ".join(values(g) for g in gradients)
    print(f'{{"{name}", {{{lists}}}, {text(incoming)}, {values(y)}, {{{slopes}}}}},')


print("// Made by kinks.py with PyTorch " + torch.__version__ + ": name, inputs, incoming gradient, value, gradients.")
line = {
    "abs": torch.abs, "relu": torch.relu, "clamp": lambda x: torch.clamp(x, -0.5, 1.0),
    "sqrt": torch.sqrt, "exp": torch.exp, "log": torch.log, "sigmoid": torch.sigmoid,
    "tanh": torch.tanh, "gelu": F.gelu, "softplus": lambda x: F.softplus(x, 1.0, 1e9),
    "silu": F.silu, "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "leaky_relu falling": lambda x: F.leaky_relu(x, -0.5),
    "pow 0": lambda x: x**0.0, "pow 1": lambda x: x**1.0, "pow 2": lambda x: x**2.0,
    "pow 3": lambda x: x**3.0, "pow 0.5": lambda x: x**0.5, "pow -1": lambda x: x**-1.0,
    "pow 1.5": lambda x: x**1.5, "pow -2": lambda x: x**-2.0,
}
for name, function in line.items():
    # PyTorch takes x^-0.5 by a root: NaN and -inf where C's pow has 0 and inf.
    case(name, function, [x for x in LINE if name != "pow 0.5" or x > 0.0 or x != x])
# 0 times an infinite gradient: a piece that is flat or not chosen gets 0.
for name in ("relu", "clamp", "leaky_relu", "pow 0"):
    case(name, line[name], LINE, incoming=inf)
two = {"pow": torch.pow, "maximum": torch.maximum, "minimum": torch.minimum, "div": torch.div,
       "mul": torch.mul}
for name, function in two.items():
    case(name, function, A, B)
for name in ("maximum", "minimum"):
    case(name, two[name], [nan, 1.0, nan, 3.0], [1.0, nan, nan, 3.0])
    case(name, two[name], [1.0, 2.0], [2.0, 1.0], incoming=inf)
case("sign", torch.sign, LINE[:-1], incoming=inf)
for vector in VECTORS:
    for p in (1.0, 1.5, 2.0, 2.5, 3.0):
        # PyTorch's sign hides a NaN, ours does not.
        if p == 1.0 and vector[0] != vector[0]:
            continue
        case(f"norm {p:g}", lambda x: x.norm(p), vector)
    case("softmax", lambda x: (x.softmax(0) * torch.tensor([1.0, 2.0, 4.0])).sum(), vector)
    case("log_softmax", lambda x: (x.log_softmax(0) * torch.tensor([1.0, 2.0, 4.0])).sum(), vector)
    case("logsumexp", lambda x: x.logsumexp(0), vector)
    case("cross_entropy", lambda x: F.cross_entropy(x[None], torch.tensor([0])), vector)
    case("max", lambda x: x.max(0)[0], vector)
case("bce 0", lambda x: F.binary_cross_entropy_with_logits(x, torch.tensor([0.0, 1.0])), [-inf, inf])
case("where", lambda x, y: torch.where(torch.tensor([True, False, True]), x, y), [inf, 1.0, nan],
     [1.0, -inf, 2.0], incoming=inf)


def normalized(x, gamma, beta):
    x = x.reshape(3, 2)
    return F.batch_norm(x, torch.tensor([1.0, 2.0]), torch.tensor([4.0, 1.0]), gamma, beta, False)


for x in ([inf, 1.0, 2.0, -inf, 0.0, 3.0], [nan, 1.0, 2.0, 4.0, 0.0, inf]):
    case("batch_norm", normalized, x, [2.0, 0.5], [0.0, 1.0])
    case("batch_norm relu", lambda *a: normalized(*a).relu(), x, [2.0, 0.5], [0.0, 1.0])
