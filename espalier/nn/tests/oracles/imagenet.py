# SPDX-License-Identifier: Apache-2.0
"""What torchvision (0.28, on PyTorch 2.13, CPU) says of ResNet-18/34/50 and MobileNetV2: the names and shapes of
all tensors, parameters and multiply-accumulates at 224 x 224 with 1000 classes, and in float64 the logits of ten
classes for two images of 64 x 64, with weights that both sides make. Writes imagenet.npz."""
import numpy as np
import torch
import torchvision
from oracle import Fixture, made

MODELS = ("resnet18", "resnet34", "resnet50", "mobilenet_v2")
f = Fixture()


def macs(model):
    """Of one image of 224 x 224: each entry of a weight once for every output position that it serves."""
    counts = []

    def count(layer, _, output):
        positions = output[0, 0].numel() if output.dim() == 4 else 1
        counts.append(layer.weight.numel() * positions)

    for layer in model.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, 224, 224))
    return sum(counts)


def fill(model):
    """Numbers of the tensor's name, of a size that keeps activations near 1."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            values = made(tensor.shape, sum(map(ord, name)), grad=False)
            if tensor.dim() > 1:
                values = values * (6.0 / tensor[0].numel()) ** 0.5
            elif name.endswith("running_var") or name.endswith("weight"):
                values = 1.0 + 0.3 * values
            else:
                values = 0.1 * values
            tensor.copy_(values)
    return model


for name in MODELS:
    make = getattr(torchvision.models, name)
    with torch.device("meta"):
        shapes = make(num_classes=1000).state_dict()
    lines = [" ".join([key, *map(str, tensor.shape)]) for key, tensor in shapes.items()
             if not key.endswith("num_batches_tracked")]
    f.arrays[name + ".tensors"] = np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)
    large = make(num_classes=1000)
    f.arrays[name + ".parameters"] = np.array(sum(p.numel() for p in large.parameters()))
    f.arrays[name + ".macs"] = np.array(macs(large))
    small = fill(make(num_classes=10).double()).eval()
    f.add(name, small(made((2, 3, 64, 64), 3, grad=False)))

f.save(__file__)
