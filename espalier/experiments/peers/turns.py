# SPDX-License-Identifier: Apache-2.0
"""Runs ours and all peers in turns: `./dev peers run`. JSON into --out after each group, and the table beside it.

Each peer is a process of its own, which is stopped while it has no turn, since its threads would go on spinning.
"""

import argparse
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time

import cases
import environments
import ours
import table

HERE = pathlib.Path(__file__).resolve().parent
PEERS = {  # environment, program
    "PyTorch": ("today", "peer_pytorch.py"),
    "ONNX Runtime": ("today", "peer_onnxruntime.py"),
    "OpenVINO": ("today", "peer_openvino.py"),
    "MNN": ("today", "peer_mnn.py"),
    "MNN, own build": ("today", "peer_mnn.py"),
    "DeepSparse": ("deepsparse", "peer_deepsparse.py"),
}
OWN_MNN = "ESPALIER_PEERS_MNN"  # the folder of a Python module MNN that was built here, with AVX-512 say
TRAINS = ("PyTorch",)
LONGEST_ANSWER = 1800  # s; compilers of networks take minutes on a busy machine


class Peer:
    """A peer's process. Between questions it is stopped."""

    def __init__(self, name, group, log):
        environment, program = PEERS[name]
        settings = os.environ | {"OMP_NUM_THREADS": str(group.threads), "NM_DISABLE_ANALYTICS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        if name == "MNN, own build":
            settings["PYTHONPATH"] = os.environ[OWN_MNN]
        answers, theirs = os.pipe()
        command = [environments.python(environment), HERE / program, str(theirs)]
        pipes = {"stdin": subprocess.PIPE, "stdout": log, "stderr": log, "pass_fds": [theirs]}
        self.process = subprocess.Popen(command, env=settings, start_new_session=True, text=True, **pipes)
        os.close(theirs)
        self.answers = os.fdopen(answers)

    def ask(self, request):
        self.signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            if not select.select([self.answers], [], [], LONGEST_ANSWER)[0]:
                raise RuntimeError(f"no answer in {LONGEST_ANSWER} s")
            line = self.answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"ended with {self.process.wait()}; see its log")
        self.signal(signal.SIGSTOP)
        return json.loads(line)

    def signal(self, number):
        """To it and what it started; nothing once it has ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.answers.close()


def prepare(group, place, weights):
    """The files of each case, by case."""
    folders = {}
    for case in group.cases:
        folders[case] = place / case.replace(" ", "_")
        shutil.rmtree(folders[case], ignore_errors=True)
        folders[case].mkdir(parents=True)
        command = [environments.python("today"), HERE / "prepare.py", group.network, case, group.images, folders[case]]
        command += [weights] if weights else []
        with open(folders[case] / "prepare.log", "w") as log:
            subprocess.run(list(map(str, command)), check=True, stdout=log, stderr=log)
    return folders


def start(group, name, folder, place, open_peers):
    """The peer's process and what it found of each of its forms; a text instead where it does not run."""
    with open(place / f"{name}.log".replace(" ", "_"), "w") as log:
        peer = open_peers.enter_context(Peer(name, group, log))
    job = {"network": group.network, "work": group.work, "case": group.cases[0], "threads": group.threads}
    try:
        return peer, peer.ask({"job": job | {"images": group.images, "folder": str(folder)}})
    except RuntimeError as error:
        peer.signal(signal.SIGKILL)
        return peer, str(error)


def start_all(group, names, folder, place, open_peers, versions):
    """Forms of all peers that are ready to be timed, and what can't run and why."""
    sides, failures = [], []
    for name in names:
        peer, answer = start(group, name, folder, place, open_peers)
        if isinstance(answer, str):
            failures.append(f"{name}: {answer}")
            continue
        versions |= {name: next(iter(answer["versions"].values()))}
        for form, found in answer["forms"].items():
            if "error" in found:
                failures.append(f"{name}, {form}: {found['error']}")
            else:
                sides.append((peer, {"engine": name, "form": form, "difference": found["difference"], "rounds": []}))
    if not sides:
        raise RuntimeError(f"{group.name}: no peer runs: {'; '.join(failures)}")
    return sides, failures


def compare(group, names, own, place, options, versions):
    """The rows of a group: one for each case, each with all sides."""
    folders = prepare(group, place, options.weights)
    found = {case: own.check(group, folders[case]) for case in group.cases} if own else {}
    mine = {case: {"engine": table.OURS, "form": case, "difference": off, "rounds": []} for case, off in found.items()}
    with contextlib.ExitStack() as open_peers:
        theirs, failures = start_all(group, names, folders[group.cases[0]], place, open_peers, versions)
        # A step takes long: fewer of them than of forward passes, but more than one.
        seconds = options.seconds * (4 if group.work == "train" else 1)
        for _ in range(options.rounds):
            for peer, side in theirs:
                answer = peer.ask({"form": side["form"], "seconds": seconds})
                side["rounds"].append(group.images / answer["seconds"])
            for case, side in mine.items():
                side["rounds"].append(1 / own.seconds_per_image(group, folders[case], seconds))
    sides = [side for _, side in theirs]
    for side in [*sides, *mine.values()]:
        side["images_per_second"] = statistics.median(side["rounds"])
    common = {"network": group.network, "work": group.work, "images": group.images, "threads": group.threads}
    return [common | {"case": case, "sides": ([mine[case]] if own else []) + sides, "failures": failures} for case in group.cases]


def processor():
    """What Linux tells of the processor; a virtual machine often hides its name, but not family and model."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{told.get('model name', '?')}, family {told.get('cpu family', '?')}, model {told.get('model', '?')}"


def available(names):
    """Peers whose environment is there, and lines about the others."""
    there, lines = [], environments.skipped()
    for name in names:
        if name == "MNN, own build" and OWN_MNN not in os.environ:
            lines.append(f"{name}: {OWN_MNN} names none")
        elif not environments.python(PEERS[name][0]).exists():
            lines.append(f"{name}: no environment {PEERS[name][0]}: ./dev peers setup")
        else:
            there.append(name)
    return there, lines


def parse(arguments):
    known = argparse.ArgumentParser("./dev peers run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")  # noqa: E731
    known.add_argument("--networks", type=listed, default=list(cases.NETWORKS), help="of " + ",".join(cases.NETWORKS))
    known.add_argument("--work", type=listed, default=["infer", "train"], help="infer,train")
    known.add_argument("--cases", type=listed, default=cases.ALL, help="of " + ",".join(cases.ALL))
    known.add_argument("--peers", type=listed, default=list(PEERS), help="of " + ",".join(PEERS))
    known.add_argument("--images", type=int, help="only groups of so many images at once")
    known.add_argument("--weights", help="a file of ours for one network and one case, instead of random weights")
    known.add_argument("--rounds", type=int, default=5)
    known.add_argument("--seconds", type=float, default=0.3, help="of each side in a round, after its warm-up; four times that for training")
    known.add_argument("--espalier", default=ours.default_binary(environments.ROOT), help="our command")
    known.add_argument("--out", type=pathlib.Path, default=environments.PLACE / "peers.json", help="also .md beside it")
    known.add_argument("--go-on", action="store_true", help="keep the rows that --out has, and run the others")
    return known.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    place = environments.PLACE / "work"
    place.mkdir(parents=True, exist_ok=True)
    names, skipped = available(options.peers)
    result = {"machine": {}, "versions": {}, "skipped": skipped, "rounds": options.rounds, "seconds": options.seconds, "rows": []}
    if options.go_on and options.out.exists():
        result["rows"] = json.loads(options.out.read_text())["rows"]
    failed = False
    with open(place / "espalier.log", "w") as log:
        own = ours.Ours(options.espalier, log)
        for group in cases.groups(options.networks, options.work, os.cpu_count(), options.cases):
            kept = [row for row in result["rows"] if table.key(row) in table.keys(group)]
            if len(kept) == len(group.cases) or options.images not in (None, group.images):
                continue
            began = time.monotonic()
            mine = own if ours.has_network(options.espalier, group.network) else None
            runs = [name for name in names if group.work == "infer" or name in TRAINS]
            first = len(own.hand_overs)
            try:
                rows = compare(group, runs, mine, place, options, result["versions"])
            except (RuntimeError, ValueError, subprocess.CalledProcessError) as error:
                print(f"{group.name}: {error}", file=sys.stderr, flush=True)
                result["skipped"].append(f"{group.name}: {error}")
                failed = True
                continue
            for row in rows:
                row |= {"hand_over_ns": own.hand_overs[first:]}
            result["rows"] += rows
            result["machine"] = own.machine | {"processor": processor(), "processors": os.cpu_count()}
            result["machine"]["peak_gflops"] = {str(threads): max(p for t, p in own.peaks if t == threads) for threads, _ in own.peaks}
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            options.out.with_suffix(".md").write_text(table.page(result))
            print(f"{group.name}: {time.monotonic() - began:.0f} s", *map(table.line, rows), sep="\n", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
