# SPDX-License-Identifier: Apache-2.0
"""What NumPy says of DominoSearch on two matrices; writes domino_search.inc.

    python3 domino_search.py > domino_search.inc

Independent of Espalier, by the published code's rules: thresholds are the means of the smaller half
of each group of 16 at the beginning; a look lowers the counter of a layer by one where at least
three quarters of its groups have fewer weights above their threshold; a layer's N follows at powers
of two, and only then weights go. Between two looks all weights that are there decay by lambda f w
lr, f from what the layer computes and from ERK's sparsity. Weights are multiples of 1/1024, groups
run along the inputs. Layers: (32,16) and (8,32), at a sparsity of 0.8.
"""

import numpy as np

M, TARGET, VOTE, LAMBDA, LR, LOOKS = 16, 0.8, 0.75, 0.1, 1.0, 21
SHAPES = [(32, 16), (8, 32)]


def erk(shapes, sparsity):
    """Sparsities: kept numbers in proportion to n_in + n_out, by largest remainder; none is capped."""
    sizes = [int(np.prod(s)) for s in shapes]
    total = sum(sizes) - int(np.floor(sparsity * sum(sizes) + 0.5))
    share = [total * sum(s) / sum(map(sum, shapes)) for s in shapes]
    kept = [int(x) for x in share]
    for layer in sorted(range(len(share)), key=lambda i: kept[i] - share[i])[: total - sum(kept)]:
        kept[layer] += 1
    return [1 - k / n for k, n in zip(kept, sizes)]


def factors(n, wanted):
    macs = np.array([np.prod(s) * k / M for s, k in zip(SHAPES, n)])
    gap = np.array([w - (1 - k / M) for w, k in zip(wanted, n)])
    divergence = gap / np.abs(gap).max() if gap.max() >= 0.01 else gap * 0
    return 0.5 * macs / macs.max() + 0.5 * divergence


def main():
    rng = np.random.default_rng(11)
    weights = [np.round(rng.standard_normal(s) * scale * 1024) / 1024
               for s, scale in zip(SHAPES, (0.2, 0.5))]
    print("// SPDX-License-Identifier: Apache-2.0")
    print("// Written by domino_search.py. Names, and values in the order of memory.")

    def show(name, values):
        print(f'    {{"{name}", {{' + ", ".join(f"{float(v):.15g}" for v in np.ravel(values)) + "}},")

    for number, w in enumerate(weights):
        show(f"weight {number}", w)
    thresholds = [np.sort(np.abs(w).reshape(-1, M), axis=1)[:, : M // 2].mean(axis=1) for w in weights]
    wanted = erk(SHAPES, TARGET)
    counter, n = [M, M], [M, M]
    size = sum(w.size for w in weights)
    print(f"    // M, looks, lambda and rate are in the test: {M}, {LOOKS}, {LAMBDA}, {LR}.")
    for look in range(LOOKS):
        for layer, w in enumerate(weights):
            if sum(x.size * (1 - k / M) for x, k in zip(weights, n)) / size >= TARGET - 0.001:
                break
            above = (np.abs(w).reshape(-1, M) > thresholds[layer][:, None]).sum(axis=1)
            if n[layer] == 1 or (above < counter[layer]).mean() < VOTE:
                continue
            counter[layer] -= 1
            if counter[layer] not in (1, 2, 4, 8):
                continue
            n[layer] = counter[layer]
            groups = w.reshape(-1, M)
            gone = np.argsort(np.abs(groups), axis=1, kind="stable")[:, : M - n[layer]]
            np.put_along_axis(groups, gone, 0.0, axis=1)
        show(f"look {look}", counter + n)
        f = factors(n, wanted)
        show(f"factors {look}", f)
        for layer in range(2):
            weights[layer] -= LR * LAMBDA * f[layer] * weights[layer]


if __name__ == "__main__":
    main()
