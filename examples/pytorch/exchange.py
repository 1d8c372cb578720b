# SPDX-License-Identifier: Apache-2.0
"""The Python side of the exchange with PyTorch; exchange.cpp is the other.

    exchange.py relay FOLDER    reads and writes the networks without PyTorch: NAME.safetensors -> NAME.back.safetensors
    exchange.py torch FOLDER    runs them in PyTorch, compares logits, saves them back, and prunes one of its own:
                                NAME.torch.safetensors with NAME.torch_batch.safetensors

Exits with 77 when PyTorch is not there.
"""

import sys
from pathlib import Path

import espalier_files as files

TOLERANCE = 1e-4  # of the largest logit; float32 sums in another order


def relay(folder, name):
    arrays, _ = files.read(folder / f"{name}.safetensors")
    for mask_name in [n for n in arrays if n.endswith(files.MASK)]:
        weight, mask = arrays[mask_name[: -len(files.MASK)]], arrays[mask_name]
        if weight.shape != mask.shape:
            raise SystemExit(f"{mask_name}: shape {mask.shape}, the weight's is {weight.shape}")
        values = memoryview(weight.data).cast("f")
        if any(v != 0 for v, kept in zip(values, mask.data) if not kept):
            raise SystemExit(f"{mask_name}: a removed weight is not zero")
        print(f"{name}: {mask_name[:-len(files.MASK)]} keeps {sum(mask.data)} of {len(mask.data)}")
    files.write(folder / f"{name}.back.safetensors", arrays)


def through_torch(folder, name):
    import networks
    import torch
    from torch.nn.utils import prune

    batch = files.to_torch(files.read(folder / f"{name}.batch.safetensors")[0])
    network = networks.NETWORKS[name]().eval()
    files.load_into(network, folder / f"{name}.safetensors")
    with torch.no_grad():
        difference = (network(batch["images"]) - batch["logits"]).abs().max() / batch["logits"].abs().max()
    print(f"{name}: largest difference of a logit {difference.item():.1e} of the largest (limit {TOLERANCE})")
    if not difference <= TOLERANCE:
        raise SystemExit(1)
    files.save_from(network, folder / f"{name}.back.safetensors")

    torch.manual_seed(1)
    own = networks.NETWORKS[name]().train()
    layers = [m for m in own.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    for layer in layers:
        prune.l1_unstructured(layer, "weight", amount=0.7)
    with torch.no_grad():
        own(batch["images"])  # moves the running statistics of batch norm
        logits = own.eval()(batch["images"])
    files.save_from(own, folder / f"{name}.torch.safetensors")
    files.write(folder / f"{name}.torch_batch.safetensors", files.from_torch({"images": batch["images"], "logits": logits}))


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("relay", "torch"):
        raise SystemExit(__doc__)
    folder = Path(sys.argv[2])
    names = [path.name.split(".")[0] for path in sorted(folder.glob("*.batch.safetensors"))]
    if not names:
        raise SystemExit(f"{folder} has no networks; `exchange write {folder}` makes them")
    if sys.argv[1] == "torch":
        try:
            import torch  # noqa: F401
        except ImportError:
            print("PyTorch is not there: its logits are not compared (on Debian: apt-get install python3-torch)")
            raise SystemExit(77)
    for name in names:
        (relay if sys.argv[1] == "relay" else through_torch)(folder, name)


main()
