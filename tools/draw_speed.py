#!/usr/bin/env python3
"""Draws docs/speed.svg, the README's picture, from recorded figures (espalier/experiments/results/speed)."""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "espalier/experiments/peers"))
import table  # noqa: E402

GREY, LIGHT, DARK = "#8a8f98", "#74b49b", "#1b6e53"


def sides(result, work, images, wanted):
    """Names and milliseconds: the fastest peer of the first case, and of the second where zeros help it; ours of each (label, case)."""
    rows = {row["case"]: row for row in result["rows"] if (row["network"], row["work"], row["images"]) == ("vgg16", work, images)}
    bars = []
    for case in (wanted[0][1], wanted[1][1]):
        best = table.fastest(rows[case])
        if bars and case != "dense" and work == "train":
            break  # one run of the peers serves all cases
        label = best["engine"] if case == "dense" else f"{best['engine']}, {case} %"
        bars.append((label, 1000 * images / best["images_per_second"], GREY))
    for label, case in wanted:
        bars.append((label, 1000 * images / table.own(rows[case])["images_per_second"], LIGHT if case == "dense" else DARK))
    return bars


def panel(x, title, bars):
    width, longest = 330, max(ms for _, ms, _ in bars)
    out = [f'<text x="{x}" y="34" class="title">{title}</text>']
    for i, (label, ms, colour) in enumerate(bars):
        y = 50 + 34 * i
        length = max(2.0, width * ms / longest * 0.62)
        number = f"{ms:.0f} ms" if ms >= 100 else f"{ms:.1f} ms"
        ratio = "" if i == 0 else f" · {bars[0][1] / ms:.1f} x"
        out.append(f'<text x="{x}" y="{y + 18}">{label}</text>')
        out.append(f'<rect x="{x + 108}" y="{y + 2}" width="{length:.1f}" height="24" rx="3" fill="{colour}"/>')
        out.append(f'<text x="{x + 116 + length:.1f}" y="{y + 18}">{number}{ratio}</text>')
    return out


def main():
    result = json.loads((ROOT / "espalier/experiments/results/speed/peers.json").read_text())
    step = sides(result, "train", 128, [("ours, dense", "dense"), ("90 % removed", "90"), ("95 % removed", "95")])
    image = sides(result, "infer", 1, [("ours, dense", "dense"), ("95 % removed", "95"), ("95 %, 4x1", "4x1 95")])
    lines = ['<svg xmlns="http://www.w3.org/2000/svg" width="860" height="258" viewBox="0 0 860 258" role="img">',
             "<title>VGG-16 in time: the fastest other engine, ours dense, ours sparse</title>",
             '<style>text{font:14px system-ui,sans-serif;fill:#333}.title{font-weight:600}.note{font-size:12px;fill:#666}'
             "</style>", '<rect width="860" height="258" fill="#fff"/>']
    lines += panel(16, "A training step, batch 128, two threads", step)
    lines += panel(446, "One image, compiled, one thread", image)
    versions = ", ".join(f"{name} {version.split('+')[0].split('-')[0]}" for name, version in sorted(result["versions"].items()))
    lines.append(f'<text x="16" y="232" class="note">VGG-16, 32x32 images, float32, 2 cores of an {result["machine"]["processor"].split(",")[0]} '
                 f'({result["machine"]["simd"]}); medians, all sides in turns.</text>')
    lines.append(f'<text x="16" y="249" class="note">Grey: the fastest of {versions}.</text></svg>')
    (ROOT / "docs/speed.svg").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
