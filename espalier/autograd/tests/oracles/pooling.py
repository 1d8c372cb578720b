# SPDX-License-Identifier: Apache-2.0
"""What PyTorch (2.13, CPU, float64) says of pools with rectangles, dilation, ceil mode and
count_include_pad. Writes pooling.npz."""
import torch.nn.functional as F
from oracle import Fixture, made

f = Fixture()
x = made((1, 2, 7, 6), 1)
windows = {
    "square": dict(kernel_size=3, stride=2, padding=1),
    "tall": dict(kernel_size=(3, 2), stride=(2, 3), padding=(1, 0)),
    "wide": dict(kernel_size=(1, 4), stride=(3, 1), padding=(0, 2)),
    "strides_apart": dict(kernel_size=2, stride=(5, 4)),
}
for name, w in windows.items():
    for ceil in (False, True):
        for dilation in (1, (1, 2)) if name != "strides_apart" else (1,):
            y = F.max_pool2d(x, **w, ceil_mode=ceil, dilation=dilation)
            f.add(f"max.{name}.{int(ceil)}{int(dilation != 1)}", y, (x,))
        for pad in (False, True):
            y = F.avg_pool2d(x, **w, ceil_mode=ceil, count_include_pad=pad)
            f.add(f"mean.{name}.{int(ceil)}{int(pad)}", y, (x,))
f.add("max.dilated", F.max_pool2d(x, (2, 3), stride=1, padding=1, dilation=(3, 2)), (x,))
f.save(__file__)
