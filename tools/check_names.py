#!/usr/bin/env python3
"""One definition for one name: no two files of one program define the same type or function.

Two definitions of `espalier::detail::Cell`, both inside of `.cpp` files, link without a word, and which of them runs
is chance. Names of one file belong into an anonymous namespace, or into a namespace that no other file has. Looks at
types, functions and templates at namespace level; the libraries count as one program, each folder's tests and its
benchmarks as another with the libraries in it, each fuzz target and example as one of its own.
Exits 1 and names each pair.
"""
import collections
import pathlib
import re
import subprocess
import sys

# A comment, a raw string, a string, or a character (`'` between digits separates them).
NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:[^"\\\n]|\\.)*"|(?<![0-9a-fA-F])\'(?:[^\'\\\n]|\\.)+\'', re.DOTALL
)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)
NAMESPACE = re.compile(r"^(?:inline )?namespace(?: (?P<name>[\w: ]+))?$")
ATTRIBUTE = r"(?:\[\[[^\]]*\]\] |alignas\([^)]*\) )*"
TYPE = re.compile(rf"^(?P<template>template <.*> )?(?:enum class|enum|struct|class|union) {ATTRIBUTE}(?P<name>[\w:]+(?:<.*>)?)(?: final)?(?: ?:(?!:).*)?$")
FUNCTION = re.compile(r"(?P<name>(?:[\w:~]+|operator ?\S+?)(?:<[^()]*>)?) ?\((?P<of>.*)\)[^()]*$")


def definitions(text):
    """(qualified name, line) of each type and function with external linkage that the text defines."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group(0))
    text = DIRECTIVE.sub(blank, NOT_CODE.sub(blank, text))
    found = []
    open_namespaces = []  # None: anonymous
    head = ""  # what stands before the brace that comes
    line = line_of_head = 1
    depth = 0  # of braces that are no namespace's
    for letter in text:
        line += letter == "\n"
        if depth:
            depth += (letter == "{") - (letter == "}")
            if depth == 0:
                head = ""
        elif letter == "{":
            words = " ".join(head.split())
            namespace = NAMESPACE.match(words)
            if namespace:
                open_namespaces.append(namespace["name"])
            elif words == 'extern':
                open_namespaces.append("")
            else:
                depth = 1
                name = name_of(words)
                if name and None not in open_namespaces:
                    found.append(("::".join([*filter(None, open_namespaces), name]), line_of_head))
            head = ""
        elif letter == "}":
            if open_namespaces:
                open_namespaces.pop()
            head = ""
        elif letter == ";":
            head = ""
        else:
            if not head.strip():
                line_of_head = line
                head = ""
            head += letter
    return found


def name_of(words):
    """The type or function whose body follows these words; nothing where it has internal linkage or is neither."""
    kind = TYPE.match(words)
    if kind:
        return kind["name"]
    if words.startswith("static ") or "=" in words.split("(")[0].replace("operator=", ""):
        return None
    words = re.sub(r"\b(?:decltype|noexcept|requires|alignas|__attribute__) ?\((?:[^()]|\([^()]*\))*\)", "", words)
    # `std::function<int(int)> f()` is called f. Then without the initializers of a constructor.
    words = re.sub(r"<[^<>()]*\([^<>]*>", "<>", words)
    function = FUNCTION.search(re.sub(r"\) ?:(?!:).*$", ")", words))
    if not function:
        return None
    return f"{function['name']}({kinds_of(function['of'])})"


def kinds_of(parameters):
    """Parameters without their names and defaults, so that two definitions compare."""
    out, nested, one = [], 0, ""
    for letter in parameters + ",":
        nested += (letter in "<([{") - (letter in ">)]}")
        if letter == "," and nested == 0:
            one = one.split("=")[0].strip()
            out.append(re.sub(r"(?<=[\w>&*]) ?(?<=[ &*>])\w+$", "", one).strip())
            one = ""
        else:
            one += letter
    return ", ".join(out)


def programs(files):
    """{name: files}: "" is the libraries, which every other program has in it."""
    out = collections.defaultdict(list)
    for file in files:
        path = pathlib.PurePosixPath(file)
        room = next((part for part in path.parts if part in ("tests", "bench", "fuzz", "app", "examples")), "")
        one = room in ("fuzz", "app", "examples") and path.suffix == ".cpp"
        out[file if one else f"{'/'.join(path.parts[:2])}/{room}" if room else ""].append(file)
    return out


def main():
    files = subprocess.run(["git", "ls-files", "*.h", "*.cpp"], check=True, capture_output=True, text=True).stdout.split()
    failed = 0
    libraries = {}
    for program, members in sorted(programs(files).items()):
        seen = dict(libraries)
        for file in members:
            for name, line in definitions(pathlib.Path(file).read_text(encoding="utf-8")):
                other = seen.setdefault(name, (file, line))
                if other[0] != file:
                    print(f"structure: {file}:{line}: {name} is defined in {other[0]}:{other[1]} too", file=sys.stderr)
                    failed = 1
        if program == "":
            libraries = seen
    return failed


if __name__ == "__main__":
    sys.exit(main())
