# SPDX-License-Identifier: Apache-2.0
"""Runs ours and all peers in turns: `./dev peers run`. JSON into --out after each group, and the table beside it."""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

import cases
import environments
import ours
import processes
import table


def prepare(group, place, weights):
    """The files of each case, by case."""
    folders = {}
    for case in group.cases:
        folders[case] = place / case.replace(" ", "_")
        shutil.rmtree(folders[case], ignore_errors=True)
        folders[case].mkdir(parents=True)
        command = [environments.python("today"), processes.HERE / "prepare.py", group.network, case, group.images, folders[case]]
        command += [weights] if weights else []
        with open(folders[case] / "prepare.log", "w") as log:
            subprocess.run(list(map(str, command)), check=True, stdout=log, stderr=log)
    return folders


def start(group, name, folder, place, open_peers):
    """The peer's process and what it found of each of its forms; a text instead where it does not run."""
    with open(place / f"{name}.log".replace(" ", "_"), "w") as log:
        peer = open_peers.enter_context(processes.Peer(name, group, log))
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
    found = {case: own.check(group, folders[case]) for case in group.cases} if own.has(group.network) else {}
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
    common |= {"failures": failures, "hand_over_ns": own.hand_overs}
    return [common | {"case": case, "sides": [mine[case]] * (case in mine) + sides} for case in group.cases]


def processor():
    """What Linux tells of the processor; a virtual machine often hides its name, but not family and model."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{told.get('model name', '?')}, family {told.get('cpu family', '?')}, model {told.get('model', '?')}"


def parse(arguments):
    known = argparse.ArgumentParser("./dev peers run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")  # noqa: E731
    known.add_argument("--networks", type=listed, default=list(cases.NETWORKS), help="of " + ",".join(cases.NETWORKS))
    known.add_argument("--work", type=listed, default=["infer", "train"], help="infer,train")
    known.add_argument("--cases", type=listed, default=cases.ALL, help="of " + ",".join(cases.ALL))
    known.add_argument("--peers", type=listed, default=list(processes.PEERS), help="of " + ",".join(processes.PEERS))
    known.add_argument("--images", type=int, help="only groups of so many images at once")
    known.add_argument("--weights", help="a file of ours for one network and one case, instead of random weights")
    known.add_argument("--rounds", type=int, default=5)
    known.add_argument("--seconds", type=float, default=0.3, help="of a side's turn after its warm-up; training four times that")
    known.add_argument("--espalier", default=ours.default_binary(environments.ROOT), help="our command")
    known.add_argument("--out", type=pathlib.Path, default=environments.PLACE / "peers.json", help="also .md beside it")
    known.add_argument("--go-on", action="store_true", help="keep the rows that --out has, and run the others")
    return known.parse_args(arguments)


def add(result, rows, own):
    """Rows of a group into the result, with what ours told of the machine meanwhile."""
    result["rows"] += rows
    machine = result["machine"]
    machine |= own.machine | {"processor": processor(), "processors": os.cpu_count()}
    peaks = machine.setdefault("peak_gflops", {})
    for threads, peak in own.peaks:
        peaks[str(threads)] = max(peak, peaks.get(str(threads), 0.0))


def main(arguments):
    options = parse(arguments)
    place = environments.PLACE / "work"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    names, skipped = processes.available(options.peers)
    result = {"skipped": skipped, "rounds": options.rounds, "seconds": options.seconds}
    before = json.loads(options.out.read_text()) if options.go_on and options.out.exists() else {}
    result |= {"machine": before.get("machine", {}), "versions": before.get("versions", {}), "rows": before.get("rows", [])}
    there, failed = {table.key(row) for row in result["rows"]}, False
    for group in cases.groups(options.networks, options.work, os.cpu_count(), options.cases):
        if there.issuperset(table.keys(group)) or options.images not in (None, group.images):
            continue
        began = time.monotonic()
        own = ours.Ours(options.espalier, place / "espalier.log")
        runs = [name for name in names if group.work == "infer" or name in processes.TRAINS]
        try:
            rows = compare(group, runs, own, place, options, result["versions"])
        except (RuntimeError, ValueError, subprocess.CalledProcessError) as error:
            print(f"{group.name}: {error}", file=sys.stderr, flush=True)
            result["skipped"].append(f"{group.name}: {error}")
            failed = True
            continue
        add(result, rows, own)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(table.page(result))
        print(f"{group.name}: {time.monotonic() - began:.0f} s", *map(table.line, rows), sep="\n", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
