#!/usr/bin/env python3
"""Draws docs/speed.svg, the README's picture, from recorded figures (espalier/experiments/results/speed)."""
import json
import pathlib

ROOT = pathlib.Path(__file__).parent.parent
SPEED = ROOT / "espalier/experiments/results/speed"
GREY, LIGHT, DARK = "#8a8f98", "#74b49b", "#1b6e53"


def milliseconds(document, job, wanted):
    """The first model's rows by name; of libtorch the fastest layout and number of threads."""
    rows = {row["name"]: row["milliseconds"] for row in json.loads((SPEED / document).read_text())[job][0]["rows"]}
    return [min(ms for name, ms in rows.items() if name.startswith(start)) for start in wanted]


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
    names = ["libtorch", "dense", "90 % removed", "95 % removed"]
    colours = [GREY, LIGHT, DARK, DARK]
    step = milliseconds("steps.json", "steps", ["libtorch", "espalier dense", "espalier 90", "espalier 95"])
    image = milliseconds("latency_vgg16.json", "latency", ["libtorch", "espalier dense", "espalier 95 % unstructured", "espalier 95 % 4x1"])
    one = ["libtorch", "dense", "95 %, single", "95 %, 4x1"]
    lines = ['<svg xmlns="http://www.w3.org/2000/svg" width="860" height="222" viewBox="0 0 860 222" role="img">',
             "<title>VGG-16 in time: libtorch, ours dense, ours sparse</title>",
             '<style>text{font:14px system-ui,sans-serif;fill:#333}.title{font-weight:600}.note{font-size:12px;fill:#666}'
             "</style>", '<rect width="860" height="222" fill="#fff"/>']
    lines += panel(16, "A training step, batch 128, two threads", list(zip(names, step, colours)))
    lines += panel(446, "One image, compiled, one thread", list(zip(one, image, colours)))
    lines.append('<text x="16" y="210" class="note">VGG-16, 32x32 images, float32, 2 cores of an AMD EPYC (Zen 3, AVX2); '
                 "libtorch 1.13.1 in its faster layout; medians, all sides in turns</text></svg>")
    (ROOT / "docs/speed.svg").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
