# SPDX-License-Identifier: Apache-2.0
"""LeGR's ranking by its definition, without anything but Python; writes legr.inc.

    python3 legr.py > legr.inc

Three layers of 5, 7 and 4 filters with squared norms, factors and shifts, all multiples of 1/64. Filters go one by
one, the lowest first, a layer keeps a quarter, rounded up, until what is left of the weights (rows times
rows of the layer before) is within the budget. Made with Python 3.11.
"""

import random

WIDTHS, LEAST = (5, 7, 4), 0.25


def show(name, values):
    print(f'    {{"{name}", {{' + ", ".join(f"{v:.15g}" for v in values) + "}},")


def weights(kept):
    rows = [3] + list(kept) + [10]
    return sum(a * b for a, b in zip(rows, rows[1:]))


def main():
    print("// SPDX-License-Identifier: Apache-2.0")
    print("// Written by legr.py. Names, and values in the order of memory.")
    rng = random.Random(7)
    norms = [[rng.randrange(1, 256) / 64 for _ in range(n)] for n in WIDTHS]
    for i, values in enumerate(norms):
        show(f"norms {i}", values)
    for ranking in range(3):
        factors = [1.0] * 3 if ranking == 0 else [rng.randrange(8, 256) / 64 for _ in WIDTHS]
        shifts = [0.0] * 3 if ranking == 0 else [rng.randrange(-128, 128) / 64 for _ in WIDTHS]
        show(f"ranking {ranking}", [v for pair in zip(factors, shifts) for v in pair])
        for budget in (0.75, 0.5, 0.3, 0.05):
            kept = list(WIDTHS)
            order = sorted(((factors[i] * v + shifts[i], -i, -v) for i, values in enumerate(norms) for v in values))
            for _, i, _ in order:
                if weights(kept) <= budget * weights(WIDTHS):
                    break
                if kept[-i] > max(1, -int(-LEAST * WIDTHS[-i] // 1)):
                    kept[-i] -= 1
            show(f"kept {ranking} {budget:g}", kept)


if __name__ == "__main__":
    main()
