# SPDX-License-Identifier: Apache-2.0
"""The virtual environments of the peers, below build/peers, from requirements/*.txt. Needs nothing but Python and pip."""

import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PLACE = ROOT / "build/peers"
# Newest first; an environment that is not listed takes any.
PYTHONS = {"deepsparse": ["python3.11", "python3.10", "python3.9", "python3.8"]}


def python(environment):
    """The interpreter of an environment, there or not."""
    return PLACE / environment / "bin/python"


def skipped():
    """Lines that tell which requirements could not be had, and why."""
    return [line for path in sorted(PLACE.glob("*.skipped")) for line in path.read_text().splitlines()]


def works(command):
    """Whether the interpreter is there and can make environments (pyenv leaves names that only tell what to install)."""
    found = shutil.which(command)
    return found and subprocess.run([found, "-c", "import ensurepip, venv"], capture_output=True).returncode == 0


def install(environment, wanted):
    """None, or the last line of pip's error. Wheels only: nothing is compiled."""
    command = [python(environment), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--prefer-binary"]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return None if done.returncode == 0 else (errors or ["pip failed"])[-1].removeprefix("ERROR: ")


def make(environment):
    """Makes one environment; what pip can't get is left out and noted in build/peers/ENVIRONMENT.skipped."""
    requirements = (HERE / f"requirements/{environment}.txt").read_text().splitlines()
    requirements = [line for line in requirements if line and not line.startswith("#")]
    notes = PLACE / f"{environment}.skipped"
    notes.unlink(missing_ok=True)
    interpreter = next(filter(works, PYTHONS.get(environment, [sys.executable])), None)
    if interpreter is None:
        notes.write_text(f"{environment}: needs one of {', '.join(PYTHONS[environment])}, with venv\n")
        return
    subprocess.run([interpreter, "-m", "venv", "--clear", PLACE / environment], check=True)
    if install(environment, requirements) is None:
        return
    failures = [(line, install(environment, [line])) for line in requirements]
    notes.write_text("".join(f"{environment}: {line}: {error}\n" for line, error in failures if error))


def main():
    PLACE.mkdir(parents=True, exist_ok=True)
    for path in sorted(HERE.glob("requirements/*.txt")):
        print(f"{path.stem}: into {PLACE / path.stem}", flush=True)
        make(path.stem)
    print("\n".join(f"skipped: {line}" for line in skipped()) or "all peers are there")


if __name__ == "__main__":
    main()
