#!/usr/bin/env python3
"""Which rooms (folders below espalier/) include which: fails when two lead into each other.

Files of one room may include each other; a list (`.inc`) may name what stands above it, since that
is what a list is for. A header that does nothing but include (`autograd/ops.h`) is no room's: who
includes it includes what it names. `check_rooms.py FOLDER..` checks the named folders, without
names all; `check_rooms.py --tell FOLDER` prints the rooms of a folder floor by floor.
"""
import collections
import pathlib
import re
import subprocess
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+<espalier/([^>]+)>', re.MULTILINE)
NO_CODE = re.compile(r"\s*(//|#|$)")
LEFT_OUT = re.compile(r"/(tests|bench|fuzz|results)/")


def room_of(path):
    """`nn/plan/kernels/product.h` and `nn/plan/detail/x.h` belong to their folder; details to the one above."""
    parts = list(pathlib.PurePosixPath(path).parent.parts)
    if parts and parts[-1] == "detail":
        parts.pop()
    return "/".join(parts) or "."


def gathered(files):
    """{header that does nothing but include: what it includes}"""
    out = {}
    for file in files:
        text = pathlib.Path(file).read_text(encoding="utf-8")
        if file.endswith(".h") and all(NO_CODE.match(line) for line in text.splitlines()):
            out[file.removeprefix("espalier/")] = INCLUDE.findall(text)
    return out


def arrows(files):
    """{room: {other room: a file that includes it}}"""
    found = collections.defaultdict(dict)
    gathers = gathered(files)
    for file in files:
        inside = file.removeprefix("espalier/")
        if inside in gathers:
            continue
        room = room_of(inside)
        wanted = INCLUDE.findall(pathlib.Path(file).read_text(encoding="utf-8"))
        for include in wanted:  # grows while it is read
            if include in gathers:
                wanted += [inner for inner in gathers[include] if inner not in wanted]
                continue
            other = room_of(include)
            if other != room and not include.endswith(".inc"):
                found[room].setdefault(other, f"{file} includes <espalier/{include}>")
    return found


def circles(graph):
    """Strongly connected rooms of more than one, by Tarjan's algorithm."""
    index, low, stack, out = {}, {}, [], []

    def visit(room):
        index[room] = low[room] = len(index)
        stack.append(room)
        for other in graph.get(room, {}):
            if other not in index:
                visit(other)
                low[room] = min(low[room], low[other])
            elif other in stack:
                low[room] = min(low[room], index[other])
        if low[room] == index[room]:
            group = []
            while True:
                group.append(stack.pop())
                if group[-1] == room:
                    break
            if len(group) > 1:
                out.append(sorted(group))

    for room in list(graph):
        if room not in index:
            visit(room)
    return out


def floors(graph, folder):
    rooms = sorted({r for r in [*graph, *(o for d in graph.values() for o in d)] if (r + "/").startswith(folder + "/")})
    height = {}

    def of(room):
        if room not in height:
            height[room] = 0
            height[room] = max([1 + of(o) for o in graph.get(room, {}) if o in rooms], default=0)
        return height[room]

    for room in rooms:
        of(room)
    return sorted(height.items(), key=lambda one: (-one[1], one[0]))


def main():
    files = subprocess.run(
        ["git", "ls-files", "espalier/*.h", "espalier/*.cpp"], check=True, capture_output=True, text=True
    ).stdout.split()
    graph = arrows([f for f in files if not LEFT_OUT.search(f)])
    if sys.argv[1:2] == ["--tell"]:
        for room, floor in floors(graph, sys.argv[2]):
            print(f"{floor:2} {room}: {' '.join(sorted(graph.get(room, {})))}")
        return 0
    named = tuple(f"{folder}/" for folder in sys.argv[1:])
    found = [group for group in circles(graph) if not named or any(f"{room}/".startswith(named) for room in group)]
    for group in found:
        print("structure: rooms that include each other: " + ", ".join(group), file=sys.stderr)
        for room in group:
            for other, why in sorted(graph[room].items()):
                if other in group:
                    print(f"  {room} -> {other}: {why}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
