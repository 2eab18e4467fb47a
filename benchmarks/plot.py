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

OURS = ["#2563a8", "#6f9fd1", "#123d6e", "#a9c6e6"]
OTHERS = ["#c9c4b8", "#a39d8e", "#e3dfd6", "#857f70"]
LIMIT, TARGET = "#4a4a4a", "#c0392b"


def main() -> None:
    summary = json.load(sys.stdin)
    panels = [
        (0.75 + 0.26 * len(bars), draw_bars, [title, bars])
        for title, found in groupby(summary["bars"], key=lambda bar: bar[0])
        for bars in [list(found)]
    ] + [
        (2.5 + 0.17 * len(lines), draw_series, [title, axis, lines])
        for (title, axis), found in groupby(summary["lines"], key=lambda line: line[:2])
        for lines in [list(found)]
    ]
    columns = in_columns(panels, 2)
    tallest = max(sum(height for height, _, _ in column) for column in columns)
    figure = plt.figure(figsize=(15, tallest), layout="constrained")
    for part, column in zip(figure.subfigures(1, len(columns)), columns, strict=True):
        heights = [height for height, _, _ in column]
        spare = tallest - sum(heights)
        axes = part.subplots(len(heights) + 1, 1, height_ratios=[*heights, spare + 0.01])
        axes[-1].set_axis_off()
        for ax, (_, draw, given) in zip(axes, column, strict=False):
            draw(ax, *given)
    figure.savefig(sys.argv[1], dpi=90)


def in_columns(panels, count):  # type: ignore[no-untyped-def]
    """In their order, from the top of the first column to the end of the last, each about as high."""
    room = sum(height for height, _, _ in panels) / count
    columns, used = [[] for _ in range(count)], 0.0
    for panel in panels:
        columns[min(count - 1, int((used + panel[0] / 2) / room))].append(panel)
        used += panel[0]
    return columns


def colours(names):  # type: ignore[no-untyped-def]
    """The limit, which is first, dark; ours blue; others grey."""
    ours, others = iter(OURS * len(names)), iter(OTHERS * len(names))
    return [LIMIT if i == 0 else next(ours if "streambind" in name else others) for i, name in enumerate(names)]


def draw_bars(ax, title, bars) -> None:  # type: ignore[no-untyped-def]
    names = [name for _, name, _, _ in bars]
    ratios = [ratio for _, _, ratio, _ in bars]
    plain = [LIMIT if i == 0 else OURS[0] if "streambind" in name else OTHERS[0] for i, name in enumerate(names)]
    ax.barh(range(len(names)), ratios, color=plain, height=0.68)
    for place, (_, _, ratio, target) in enumerate(bars):
        ax.text(ratio + 0.01, place, f" {ratio:.2f}" if ratio >= 0.1 else f" {ratio:.3f}", va="center", fontsize=8)
        if target is not None:
            ax.plot([target, target], [place - 0.42, place + 0.42], color=TARGET, linewidth=1.6)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.15, max(ratios) * 1.12))
    finish(ax, title)


def draw_series(ax, title, axis, lines) -> None:  # type: ignore[no-untyped-def]
    xs = lines[0][3]
    grows = len(xs) > 2 and all(x.replace(",", "").isdigit() for x in xs)
    width = 0.8 / len(lines)
    named = colours([name for _, _, name, _, _ in lines])
    for number, ((_, _, name, _, ratios), colour) in enumerate(zip(lines, named, strict=True)):
        if grows:
            ax.plot(range(len(xs)), ratios, marker="o", markersize=4, linewidth=1.6, label=name, color=colour)
        else:
            places = [x - 0.4 + width * (number + 0.5) for x in range(len(xs))]
            bars = ax.bar(places, ratios, width * 0.92, label=name, color=colour)
            ax.bar_label(bars, fmt="%.2f", fontsize=7)
    ax.set_xticks(range(len(xs)), xs, fontsize=8)
    ax.set_xlabel(axis, fontsize=8)
    ax.set_ylim(0, 1.1 * max(max(ratios) for _, _, _, _, ratios in lines))
    # Below: beside the bars there is no room in two columns.
    ax.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    finish(ax, f"{title}, of the limit")


def finish(ax, title) -> None:  # type: ignore[no-untyped-def]
    ax.tick_params(axis="both", labelsize=8)
    ax.set_title("\n".join(textwrap.wrap(title, 72)), fontsize=9, loc="left")
    ax.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
