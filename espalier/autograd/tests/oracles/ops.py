# SPDX-License-Identifier: Apache-2.0
"""What PyTorch (2.13, CPU, float64) says of comparisons, scalars on the left, reductions, scans,
sorting, GELU by tanh and transposed convolutions. Writes ops.npz."""
import torch
import torch.nn.functional as F
from oracle import Fixture, made

f = Fixture()
x = made((2, 3, 4), 1)
y = made((3, 1), 2)
nan = torch.tensor([1.0, float("nan"), 2.0, float("nan"), -1.0, 2.0], dtype=torch.float64)
other = torch.tensor([1.0, 0.0, float("nan"), float("nan"), 2.0, 1.0], dtype=torch.float64)

for name in ("greater", "greater_equal", "less", "less_equal", "eq", "not_equal"):
    compare = getattr(torch, name)
    f.add(name, compare(x, y).to(torch.uint8))
    f.add(name + ".nan", compare(nan, other).to(torch.uint8))
    f.add(name + ".scalar", compare(x, x[0, 1, 2].item()).to(torch.uint8))
f.add("where", torch.where(x > y, x * x, y), (x, y))

f.add("minus", 1.5 - x, (x,))
f.add("plus", 1.5 + x, (x,))
f.add("over", 1.5 / x, (x,))
f.add("gelu_tanh", F.gelu(x * 3, approximate="tanh"), (x,))
far = torch.tensor([-30.0, -5.0, -0.0, 0.0, 5.0, 30.0], dtype=torch.float64, requires_grad=True)
f.add("gelu_tanh.far", F.gelu(far, approximate="tanh"), (far,))

f.add("min.all", x.min(), (x,))
f.add("min.middle", torch.amin(x, (1,), keepdim=True), (x,))
f.add("min.outer", torch.amin(x, (0, 2)), (x,))
for name in ("argmax", "argmin"):
    arg = getattr(torch, name)
    f.add(name + ".all", arg(x))
    f.add(name + ".rows", arg(x, 2))
    f.add(name + ".middle", arg(x, 1, keepdim=True))
    f.add(name + ".nan", arg(nan))
for dim in range(3):
    f.add(f"cumsum{dim}", torch.cumsum(x, dim), (x,))
    for down in (False, True):
        values, indices = torch.sort(x, dim=dim, descending=down, stable=True)
        f.add(f"sort{dim}{'down' if down else 'up'}", values, (x,))
        f.add(f"sort{dim}{'down' if down else 'up'}.at", indices)
ties = torch.tensor([2.0, float("nan"), 1.0, 2.0, float("nan"), 1.0], dtype=torch.float64)
for down in (False, True):
    f.add(f"sort.ties{'down' if down else 'up'}.at", torch.sort(ties, stable=True, descending=down)[1])

cases = {
    "plain": dict(x=(2, 2, 3, 2), w=(2, 3, 3, 2)),
    "doubles": dict(x=(1, 2, 3, 4), w=(2, 2, 3, 3), stride=2, padding=1, output_padding=1),
    "uneven": dict(x=(1, 1, 3, 4), w=(1, 2, 2, 3), stride=(3, 1), padding=(0, 1), output_padding=(2, 0)),
    "dilated": dict(x=(1, 2, 3, 3), w=(2, 2, 2, 3), padding=1, output_padding=(2, 0), dilation=(3, 2)),
    "groups": dict(x=(2, 4, 2, 2), w=(4, 2, 3, 3), stride=2, padding=1, groups=2),
    "depthwise": dict(x=(1, 3, 3, 2), w=(3, 1, 3, 3), padding=1, groups=3),
}
for name, c in cases.items():
    x, w = made(c.pop("x"), 3), made(c.pop("w"), 4)
    b = made((w.shape[1] * c.get("groups", 1),), 5)
    f.add("transpose." + name, F.conv_transpose2d(x, w, b, **c), (x, w, b))
f.save(__file__)
