# SPDX-License-Identifier: Apache-2.0
"""A comparison's JSON as Markdown, and what is the fastest peer. `python3 table.py FILE.json` prints the page."""

import json
import sys

OURS = "Espalier"
FINE = 1e-4  # of the largest logit: float32 in another order stays below


def key(row):
    return row["network"], row["work"], row["images"], row["case"]


def keys(group):
    """Those of the rows that a group gives."""
    return [(group.network, group.work, group.images, case) for case in group.cases]


def own(row):
    """Our side; none where our zoo has not this network."""
    return next((side for side in row["sides"] if side["engine"] == OURS), None)


def fastest(row, engine=None):
    """The fastest side of the peers, or of one of them; none where it has no form that runs."""
    sides = [side for side in row["sides"] if (side["engine"] == engine if engine else side["engine"] != OURS)]
    return max(sides, key=lambda side: side["images_per_second"], default=None)


def ratio(row):
    """Ours over the fastest peer; none without ours."""
    return own(row)["images_per_second"] / fastest(row)["images_per_second"] if own(row) else None


def spread(side):
    """Largest less smallest round, over the median."""
    return (max(side["rounds"]) - min(side["rounds"])) / side["images_per_second"]


def rate(side):
    if side is None:
        return "-"
    speed = side["images_per_second"]
    return f"{speed:.0f}" if speed >= 100 else f"{speed:.1f}"


def cells(row, engines):
    best = fastest(row)
    share = ratio(row)
    return [
        f"{row['network']} {row['case']}{'' if row['case'] == 'dense' else ' %'}",
        f"{row['images']} on {row['threads']}",
        rate(own(row)),
        *(rate(fastest(row, engine)) for engine in engines),
        f"{best['engine']}, {best['form']}",
        "-" if share is None else f"**{share:.2f}**",
    ]


def line(row):
    """One row in words, as it is printed while others run."""
    best = fastest(row)
    share = "" if ratio(row) is None else f": {ratio(row):.2f} x"
    return f"  {row['case']}: {rate(own(row))} images/s, fastest peer {best['engine']}, {best['form']} {rate(best)}{share}"


def markdown(head, rows):
    return "\n".join(f"| {' | '.join(one)} |" for one in [head, ["---"] * len(head), *rows]) + "\n"


def section(result, work, title):
    rows = [row for row in result["rows"] if row["work"] == work]
    engines = sorted({side["engine"] for row in rows for side in row["sides"]} - {OURS})
    head = [title, "images, threads", "ours", *engines, "fastest peer", "ours over it"]
    return markdown(head, [cells(row, engines) for row in rows]) if rows else ""


def coarse(result):
    """Lines about forms whose rounding shows, each with its largest difference over all rows."""
    largest = {}
    for side in (side for row in result["rows"] for side in row["sides"] if side["difference"] > FINE):
        name = f"{side['engine']}, {side['form']}"
        largest[name] = max(largest.get(name, 0.0), side["difference"])
    return [f"{name} differs by {off:.1e} of the largest logit from float64" for name, off in sorted(largest.items())]


def page(result):
    machine = result["machine"]
    peaks = ", ".join(f"{peak:.0f} GFLOP/s on {threads}" for threads, peak in sorted(machine.get("peak_gflops", {}).items()))
    hand_overs = [ns for row in result["rows"] for times in row["hand_over_ns"] for ns in times.values()]
    handed = f", an atomic handed to another core in {min(hand_overs):.0f} to {max(hand_overs):.0f} ns" if hand_overs else ""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result["versions"].items()))
    spreads = sorted(spread(side) for row in result["rows"] for side in row["sides"])
    wide = f"half of all spreads below {100 * spreads[len(spreads) // 2]:.0f} %" if spreads else ""
    failures = sorted({failure for row in result["rows"] for failure in row["failures"]})
    return "\n".join(
        [
            f"Images/s, medians of {result['rounds']} rounds in turns, {result['seconds']} s a side; {wide}.",
            f"{machine.get('processor')}, {machine.get('processors')} processors, {machine.get('simd')}, FMA peak {peaks}{handed}.",
            f"{versions}.\n",
            section(result, "infer", "compiled inference"),
            section(result, "train", "training step"),
            *(f"- {text}" for text in coarse(result)),
            *(f"- not run: {text}" for text in [*result["skipped"], *failures]),
            "",
        ]
    )


if __name__ == "__main__":
    print(page(json.loads(open(sys.argv[1]).read())))
