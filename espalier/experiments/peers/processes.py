# SPDX-License-Identifier: Apache-2.0
"""Peers as processes: which there are, and how one is asked.

Each is stopped while it has no turn, since its threads would go on spinning; it ends with the process that started it.
"""

import json
import os
import pathlib
import select
import signal
import subprocess

import environments

HERE = pathlib.Path(__file__).resolve().parent
PEERS = {  # environment, program
    "PyTorch": ("today", "peer_pytorch.py"),
    "ONNX Runtime": ("today", "peer_onnxruntime.py"),
    "OpenVINO": ("today", "peer_openvino.py"),
    "MNN": ("today", "peer_mnn.py"),
    "MNN (own build)": ("today", "peer_mnn.py"),
    "DeepSparse": ("deepsparse", "peer_deepsparse.py"),
}
OWN_MNN = "ESPALIER_PEERS_MNN"  # the folder of a Python module MNN that was built here, with AVX-512 say
TRAINS = ("PyTorch",)
LONGEST_ANSWER = 1800  # s; compilers of networks take minutes on a busy machine


class Peer:
    """A peer's process. Between questions it is stopped."""

    def __init__(self, name, group, log):
        environment, program = PEERS[name]
        settings = os.environ | {"OMP_NUM_THREADS": str(group.threads), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        settings["NM_DISABLE_ANALYTICS"] = "1"  # DeepSparse would tell its makers
        if name == "MNN (own build)":
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


def available(names):
    """Peers whose environment is there, and lines about the others."""
    there, lines = [], environments.skipped()
    for name in names:
        if name == "MNN (own build)" and OWN_MNN not in os.environ:
            lines.append(f"{name}: {OWN_MNN} names none")
        elif not environments.python(PEERS[name][0]).exists():
            lines.append(f"{name}: no environment {PEERS[name][0]}: ./dev peers setup")
        else:
            there.append(name)
    return there, lines
