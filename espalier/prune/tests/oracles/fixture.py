# SPDX-License-Identifier: Apache-2.0
"""How the scripts here write numbers: rows {"name", {values}} for a map of C++."""

import torch


def sixty_fourths(shape, generator, scale, shift=0.0):
    """Normal numbers that are multiples of 1/64: the same in float32 and in text."""
    values = torch.randn(shape, generator=generator, dtype=torch.float64) * scale + shift
    return torch.round(values * 64) / 64


def head(script):
    print("// SPDX-License-Identifier: Apache-2.0")
    print(f"// Written by {script}. Names, and values in the order of memory.")


def show(name, tensor, digits=15):
    lines, line = [], "   "
    for value in tensor.flatten().tolist():
        text = f"{float(value):.{digits}g}"
        if len(line) + len(text) + 2 > 98:
            lines.append(line)
            line = "   "
        line += " " + text + ","
    print(f'    {{"{name}",\n     {{' + "\n".join(lines + [line]).strip().rstrip(",") + "}},")
