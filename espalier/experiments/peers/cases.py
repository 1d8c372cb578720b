# SPDX-License-Identifier: Apache-2.0
"""What is compared, as data: networks, sparsities, batches. A group is what runs in turns: one network, one kind of work."""

import dataclasses

ALL = ("dense", "90", "95", "4x1 90", "4x1 95")


@dataclasses.dataclass(frozen=True)
class Network:
    """`options`: how `espalier bench` is told its form; `dense`: weights that no mask touches."""

    image: int
    options: tuple = ()
    batches: tuple = (1, 64)
    dense: tuple = ()
    train: tuple = ()  # cases; empty: not trained here


NETWORKS = {
    "resnet20": Network(32, train=("dense", "90", "95", "4x1 90")),
    "vgg16": Network(32, train=("dense", "90", "95", "4x1 90")),
    "resnet50": Network(
        224, ("--stem", "imagenet", "--image-size", "224"), batches=(1, 16), dense=("conv1.weight", "fc.weight")
    ),
}
CLASSES = 10
TRAIN_BATCH = 128


def sparsity(case):
    """The removed fraction."""
    return 0.0 if case == "dense" else float(case.split()[-1]) / 100


def block(case):
    """How many output channels in a row lose a weight together."""
    return 4 if case.startswith("4x1") else 1


@dataclasses.dataclass(frozen=True)
class Group:
    """Peers run the first case: for more (training, where zeros don't change their speed) one run of theirs serves all."""

    network: str
    work: str  # infer, train
    images: int
    threads: int
    cases: tuple

    @property
    def name(self):
        return f"{self.network} {self.work} {self.images} {self.cases[0] if len(self.cases) == 1 else ''}".strip()


def groups(networks, works, processors, only=ALL):
    """All groups in order: one image on one thread, batches and training on all of them."""
    out = []
    for name in networks:
        network = NETWORKS[name]
        if "infer" in works:
            out += [
                Group(name, "infer", images, 1 if images == 1 else processors, (case,))
                for images in network.batches
                for case in ALL
                if case in only
            ]
        trained = tuple(case for case in network.train if case in only)
        if "train" in works and trained:
            out.append(Group(name, "train", TRAIN_BATCH, processors, trained))
    return out
