# SPDX-License-Identifier: Apache-2.0
"""Espalier's files in Python: networks and batches are safetensors with PyTorch's names.

Needs nothing but Python; `to_torch` and `from_torch` need PyTorch. A masked weight `NAME.weight` is stored dense,
zeros included, with its mask `NAME.weight.mask` (bytes, 1 = kept) beside it.
"""

import json
import struct
from collections import namedtuple

Array = namedtuple("Array", "dtype shape data")  # "F32", (16, 3, 3, 3), little endian bytes
MASK = ".mask"


def read(path):
    """Arrays by name, and the texts of the header's metadata."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), file.read()
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        arrays[name] = Array(entry["dtype"], tuple(entry["shape"]), data[begin:end])
    return arrays, metadata


def write(path, arrays, metadata=None):
    """Writes what `read` reads."""
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + len(array.data)]
        header[name] = {"dtype": array.dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += array.data
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def to_torch(arrays):
    """Tensors by name."""
    import torch

    types = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32, "I64": torch.int64, "U8": torch.uint8}
    return {
        name: torch.frombuffer(bytearray(a.data), dtype=types[a.dtype]).reshape(a.shape)
        if a.data
        else torch.zeros(a.shape, dtype=types[a.dtype])
        for name, a in arrays.items()
    }


def from_torch(tensors):
    """Arrays of tensors; booleans become bytes."""
    import torch

    types = {torch.float32: "F32", torch.float64: "F64", torch.int32: "I32", torch.int64: "I64", torch.uint8: "U8"}
    out = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.dtype == torch.bool:
            tensor = tensor.to(torch.uint8)
        out[name] = Array(types[tensor.dtype], tuple(tensor.shape), tensor.numpy().tobytes())
    return out


def load_into(module, path):
    """Weights of an Espalier file into a torch module; masks become torch.nn.utils.prune's."""
    from torch.nn.utils import prune

    tensors = to_torch(read(path)[0])
    masks = {name: tensors.pop(name) for name in list(tensors) if name.endswith(MASK)}
    missing, unexpected = module.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"{path}: missing {missing}, unexpected {unexpected}")
    for name, mask in masks.items():
        layer, parameter = name[: -len(MASK)].rsplit(".", 1)
        prune.custom_from_mask(module.get_submodule(layer), parameter, mask)


def save_from(module, path):
    """A torch module's weights as an Espalier file; weights under torch.nn.utils.prune keep their masks."""
    state = module.state_dict()
    tensors = {}
    for name, tensor in state.items():
        if name.endswith("_orig"):
            name = name[: -len("_orig")]
            mask = state[name + "_mask"]
            tensors[name], tensors[name + MASK] = tensor * mask, mask.bool()
        elif not name.endswith("_mask"):
            tensors[name] = tensor
    write(path, from_torch(tensors))
