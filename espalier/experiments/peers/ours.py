# SPDX-License-Identifier: Apache-2.0
"""Our side, as people use it: `espalier bench` with the file that the peers' networks were made from, a process a turn."""

import json
import pathlib
import subprocess

import cases

LARGEST_LOSS_DIFFERENCE = 1e-4


class Ours:
    """`binary`: the command `espalier`. Keeps what its figures tell of the machine: all, peaks by threads, hand-over times."""

    def __init__(self, binary, log):
        self.binary, self.log, self.machine, self.peaks, self.hand_overs = binary, log, {}, [], []

    def has(self, network):
        """Whether this `espalier` knows the options that make the network."""
        text = subprocess.run([self.binary, "bench", "infer", "--help"], capture_output=True, text=True, check=True).stdout
        return all(option in text for option in cases.NETWORKS[network].options if option.startswith("--"))

    def run(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments), "--json"], capture_output=True, text=True)
        with open(self.log, "a") as log:
            log.write(done.stderr)
        if done.returncode:
            raise RuntimeError(f"espalier {arguments[0]} failed: {(done.stderr.strip().splitlines() or [done.returncode])[-1]}")
        return json.loads(done.stdout)

    def network(self, name, folder):
        return ["--model", name, *cases.NETWORKS[name].options, "--weights", folder / "network.safetensors"]

    def check(self, group, folder):
        """How far the loss of the compiled plan is from PyTorch's in float64. Throws where it is another network."""
        expected = json.loads((folder / "pictures.json").read_text())["loss"]
        pictures = ["--data", f"folder:{folder / 'pictures'}", "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]
        batch = ["--compiled", "--batch", group.images, "--threads", group.threads]
        got = self.run("eval", *self.network(group.network, folder), *pictures, *batch)["loss"]
        off = abs(got - expected) / max(1.0, abs(expected))
        if not off < LARGEST_LOSS_DIFFERENCE:
            raise ValueError(f"{group.name}: the loss is {got:.6f}, in PyTorch {expected:.6f}")
        return off

    def seconds_per_image(self, group, folder, seconds):
        work = ["infer", "--compiled"] if group.work == "infer" else ["train"]
        figures = self.run(
            *["bench", *work, *self.network(group.network, folder), "--batch", group.images],
            *["--threads", group.threads, "--rounds", 1, "--round-seconds", seconds],
        )
        self.machine = figures["machine"]
        self.peaks.append((group.threads, figures["peak_gflops"]))
        # Differs from minute to minute where a virtual machine's cores move: kept for each turn.
        if hand_over := self.machine.pop("hand_over_ns", None):
            self.hand_overs.append(hand_over)
        return 1 / figures["images_per_second"]


def default_binary(root):
    return pathlib.Path(root) / "build/release/bin/espalier"
