# SPDX-License-Identifier: Apache-2.0
"""Writes the files of one case: the network as Espalier reads it and as ONNX, images, and the logits that all must give.

Weights are random and masked at random; the running statistics are those of random images, so that numbers stay of one
size in all layers and a wrong product shows in the logits. Or they are those of a file of ours, masks included.
"""

import json
import pathlib
import struct
import sys

import numpy
import torch
from torch.fx.experimental import optimization

import cases

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "examples/pytorch"))
import espalier_files  # noqa: E402
import networks  # noqa: E402

PICTURES = 40  # of the check of ours, which reads them as a data set


def random_mask(weight, sparsity, block, generator):
    """Bytes, 1 = kept. Exactly the asked share of blocks falls, wherever chance says."""
    outputs = weight.shape[0]
    columns = weight[0].numel()
    blocks = -(-outputs // block)
    kept = torch.ones(blocks * columns, dtype=torch.uint8)
    kept[torch.randperm(len(kept), generator=generator)[: round(sparsity * len(kept))]] = 0
    return kept.reshape(blocks, columns).repeat_interleave(block, 0)[:outputs].reshape(weight.shape)


def settle(model, image, generator):
    """Random scales and shifts, and the statistics of random images."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.uniform_(0.5, 1.5, generator=generator)
        norm.bias.uniform_(-0.2, 0.2, generator=generator)
        norm.momentum = None  # a plain mean of what it sees
        norm.reset_running_stats()
    model.train()
    for _ in range(2):
        model(torch.randn(32, 3, image, image, generator=generator))


def make(name, case):
    """The network in eval mode, zeros in place, and its masks by name."""
    network = cases.NETWORKS[name]
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    model = networks.NETWORKS[name](cases.CLASSES)
    masks = {}
    for key, parameter in model.named_parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter, generator=generator)
        if parameter.dim() > 1 and cases.sparsity(case) and key not in network.dense:
            masks[key] = random_mask(parameter, cases.sparsity(case), cases.block(case), generator)
            parameter.mul_(masks[key])
    settle(model, network.image, generator)
    return model.eval(), masks


@torch.no_grad()
def load(name, path):
    """As `make`, from a file of ours."""
    tensors = espalier_files.to_torch(espalier_files.read(path)[0])
    masks = {key.removesuffix(espalier_files.MASK): tensors.pop(key) for key in list(tensors) if key.endswith(espalier_files.MASK)}
    model = networks.NETWORKS[name](cases.CLASSES)
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    if unexpected or [key for key in missing if not key.endswith("num_batches_tracked")]:
        raise ValueError(f"{path} is no {name}: missing {missing}, unexpected {unexpected}")
    for key, mask in masks.items():
        model.get_parameter(key).mul_(mask)
    return model.eval(), masks


def write_pictures(folder, model, network, generator):
    """A folder of random pictures by class, as BMP, and the loss that the network has on them."""
    size = network.image
    pixels = torch.randint(0, 256, (PICTURES, 3, size, size), generator=generator)
    labels = torch.arange(PICTURES) % cases.CLASSES
    for i, (picture, label) in enumerate(zip(pixels, labels)):
        # Rows upwards, blue first; 32 and 224 pixels need no padding.
        body = picture.flip(0).permute(1, 2, 0).flip(0).to(torch.uint8).numpy().tobytes()
        header = struct.pack("<2sIHHI", b"BM", 54 + len(body), 0, 0, 54)
        header += struct.pack("<IiiHHIIiiII", 40, size, size, 1, 24, 0, len(body), 2835, 2835, 0, 0)
        for split in ("train", "test"):  # a data set has both
            place = folder / f"pictures/{split}/{label:02d}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{i:02d}.bmp").write_bytes(header + body)
    logits = model((pixels.double() / 255 - 0.5) / 0.25)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    (folder / "pictures.json").write_text(json.dumps({"loss": loss}))


@torch.no_grad()
def prepare(name, case, images, folder, weights=None):
    """Writes network.safetensors, network.onnx, images.npy, logits.npy and the pictures into `folder`."""
    network = cases.NETWORKS[name]
    generator = torch.Generator().manual_seed(3)
    model, masks = load(name, weights) if weights else make(name, case)
    tensors = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    tensors |= {key + espalier_files.MASK: mask for key, mask in masks.items()}
    espalier_files.write(folder / "network.safetensors", espalier_files.from_torch(tensors))
    x = torch.randn(images, 3, network.image, network.image, generator=generator)
    torch.onnx.export(
        optimization.fuse(model),
        (x,),
        folder / "network.onnx",
        dynamo=False,
        opset_version=13,
        input_names=["images"],
        output_names=["logits"],
    )
    exact = model.double()
    numpy.save(folder / "images.npy", x.numpy())
    numpy.save(folder / "logits.npy", exact(x.double()).float().numpy())
    write_pictures(folder, exact, network, generator)


if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2], int(sys.argv[3]), pathlib.Path(sys.argv[4]), *sys.argv[5:])
