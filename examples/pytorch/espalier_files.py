# SPDX-License-Identifier: Apache-2.0
"""Espalier's files in Python: networks and batches are safetensors with PyTorch's names.

Needs nothing but Python; `to_torch` and `from_torch` need PyTorch. A masked weight `NAME.weight` is stored dense,
zeros included, with its mask `NAME.weight.mask` (bytes, 1 = kept) beside it.
"""

import json
import struct
import zlib
from collections import namedtuple

Array = namedtuple("Array", "dtype shape data")  # "F32", (16, 3, 3, 3), little endian bytes
MASK = ".mask"
# How files of ours begin after the header's length: eight digits follow, the CRC-32 of the whole file with zeros there.
START = b'{"__metadata__":{"espalier.checksum":"crc32:'
DIGITS = slice(8 + len(START), 8 + len(START) + 8)
OWN = {"espalier.checksum": "crc32:00000000", "espalier.format": "1"}


def checksum(content):
    """The digits that belong into the file `content`."""
    crc = zlib.crc32(content[DIGITS.stop :], zlib.crc32(b"0" * 8, zlib.crc32(content[: DIGITS.start])))
    return b"%08x" % crc


def read(path):
    """Arrays by name, and the texts of the header's metadata. Files without a checksum are from elsewhere."""
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    metadata = header.pop("__metadata__", {})
    own = [metadata.pop(key, None) for key in OWN]
    if own != [None, None] and (not content[8:].startswith(START) or content[DIGITS] != checksum(content)):
        raise ValueError(f"{path}: damaged: its checksum is not that of its bytes")
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        arrays[name] = Array(entry["dtype"], tuple(entry["shape"]), data[begin:end])
    return arrays, metadata


def write(path, arrays, metadata=None):
    """Writes what `read` reads."""
    header, data = {"__metadata__": {**OWN, **(metadata or {})}}, b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + len(array.data)]
        header[name] = {"dtype": array.dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += array.data
    text = json.dumps(header, separators=(",", ":")).encode()
    content = bytearray(struct.pack("<Q", len(text)) + text + data)
    content[DIGITS] = checksum(content)
    with open(path, "wb") as file:
        file.write(content)


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
