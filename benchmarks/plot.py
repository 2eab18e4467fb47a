"""The picture of the page, from the records: `python plot.py FILE.png < SUMMARY`. Runs where matplotlib is.

The summary is JSON: `bars`, a list of [contest, contender, ratio, target or null], and `lines`, a list of
[contest, axis, contender, [x...], [ratio...]]: lines for three x or more that are numbers, else bars side by side.
"""

from __future__ import annotations

import json
import sys
import textwrap
from itertools import groupby

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

OURS, OTHERS, LIMIT = "#2563a8", "#b9b4a8", "#4a4a4a"


def main() -> None:
    summary = json.load(sys.stdin)
    contests = [(title, list(bars)) for title, bars in groupby(summary["bars"], key=lambda bar: bar[0])]
    series = [(key, list(lines)) for key, lines in groupby(summary["lines"], key=lambda line: line[:2])]
    heights = [0.9 + 0.32 * len(bars) for _, bars in contests] + [3.0] * len(series)
    figure, axes = plt.subplots(
        len(heights), 1, figsize=(9, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for (title, bars), ax in zip(contests, axes[:, 0], strict=False):
        draw_bars(ax, title, bars)
    for ((title, axis), lines), ax in zip(series, axes[len(contests) :, 0], strict=True):
        draw_lines(ax, title, axis, lines)
    figure.savefig(sys.argv[1], dpi=110)


def draw_bars(ax, title, bars) -> None:  # type: ignore[no-untyped-def]
    names = [name for _, name, _, _ in bars]
    ratios = [ratio for _, _, ratio, _ in bars]
    colours = [LIMIT if i == 0 else OURS if "streambind" in name else OTHERS for i, name in enumerate(names)]
    ax.barh(range(len(names)), ratios, color=colours, height=0.68)
    for place, (_, _, ratio, target) in enumerate(bars):
        ax.text(ratio + 0.01, place, f" {ratio:.2f}" if ratio >= 0.1 else f" {ratio:.3f}", va="center", fontsize=8)
        if target is not None:
            ax.plot([target, target], [place - 0.42, place + 0.42], color="#c0392b", linewidth=1.6)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.15, max(ratios) * 1.12))
    ax.tick_params(axis="x", labelsize=7)
    ax.set_title("\n".join(textwrap.wrap(title, 80)), fontsize=9, loc="left")
    ax.spines[["top", "right"]].set_visible(False)


def draw_lines(ax, title, axis, lines) -> None:  # type: ignore[no-untyped-def]
    xs = lines[0][3]
    grows = len(xs) > 2 and all(x.replace(",", "").isdigit() for x in xs)
    width = 0.8 / len(lines)
    for number, (_, _, name, _, ratios) in enumerate(lines):
        if grows:
            ax.plot(range(len(xs)), ratios, marker="o", markersize=3.5, linewidth=1.4, label=name)
        else:
            bars = ax.bar(
                [x - 0.4 + width * (number + 0.5) for x in range(len(xs))], ratios, width * 0.92, label=name
            )
            ax.bar_label(bars, fmt="%.2f", fontsize=7)
    ax.set_xticks(range(len(xs)), xs, fontsize=8)
    ax.set_xlabel(axis, fontsize=8)
    ax.set_ylim(bottom=0)
    ax.tick_params(axis="y", labelsize=7)
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.set_title("\n".join(textwrap.wrap(f"{title}, of the limit", 80)), fontsize=9, loc="left")
    ax.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
