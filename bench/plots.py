"""Figures of the results as SVG, readable on light and dark pages: no background; text and grid have a color that
follows the reader's color scheme."""
import math

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator

import results as stored
from results import median

INK, FAINT = "#24292e", "#d0d7dd"  # placeholders for the scheme's colors, see themed
STYLE = """<style>
 :root { --ink: #24292f; --faint: #d0d7de; }
 @media (prefers-color-scheme: dark) { :root { --ink: #d6dde5; --faint: #3a424c; } }
</style>"""
BLUE, ORANGE, GREEN, RED, PURPLE, GRAY, SKY = "#2f7fd6", "#e07b1a", "#2a9d5c", "#d64550", "#9a62c4", "#8a8f98", "#4aa5c9"
# beginning of the name -> color, dashes, width, marker. capp is emphasized; the others keep the colors of CAPPr's
# figure.
LINES = (("capp generate 4", GREEN, (4, 2), 1.3, "^"), ("capp generate 1", RED, (4, 2), 1.3, "^"), ("capp f32", PURPLE, (4, 2), 1.6, "D"),
         ("capp", PURPLE, None, 2.8, "D"), ("CAPPr uncached", BLUE, None, 1.6, "o"), ("CAPPr cached", ORANGE, None, 1.6, "o"),
         ("generate 4", GREEN, None, 1.6, "o"), ("generate 1", RED, None, 1.6, "o"))

matplotlib.use("svg")
plt.rcParams.update({
    "font.family": "sans-serif", "font.size": 9.5, "svg.hashsalt": "capp", "svg.fonttype": "path", "text.color": INK,
    "axes.labelcolor": INK, "axes.edgecolor": FAINT, "axes.titlelocation": "left", "axes.titlesize": 10.5, "axes.titleweight": "bold",
    "axes.titlepad": 10, "xtick.color": INK, "ytick.color": INK, "axes.grid": True, "axes.axisbelow": True, "grid.color": FAINT,
    "grid.linewidth": 0.7, "axes.spines.top": False, "axes.spines.right": False, "xtick.major.size": 0, "ytick.major.size": 0,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none"})


def themed(svg):
    """Makes the placeholder colors follow the reader's scheme. Where CSS variables are not supported, they are those of
    a light page."""
    for color, name, light in ((INK, "ink", "#24292f"), (FAINT, "faint", "#d0d7de")):
        svg = svg.replace(color, f"var(--{name}, {light})")
    head, tag, rest = svg.partition("<defs>")
    return head + STYLE + "\n " + tag + rest


def save(figure, path):
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.08)
    plt.close(figure)
    path.write_text(themed(path.read_text(encoding="utf-8")), encoding="utf-8")


def style(name):
    return next(line[1:] for line in LINES if name.startswith(line[0]))


def plain(value, _=None):
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"


def spread(places, gap):
    """Moves rising positions as little as possible so that they are `gap` apart. Positions that are too close form a
    block around their mean."""
    blocks = []  # [sum of wanted beginnings, count]
    for place in places:
        blocks.append([place, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] + gap * blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            wanted, n = blocks.pop()
            blocks[-1][0] += wanted - gap * blocks[-1][1] * n
            blocks[-1][1] += n
    return [wanted / n + gap * i for wanted, n in blocks for i in range(n)]


def label_ends(axes, ends, gap):
    """Texts to the right of the line ends [(x, y, text, color)], at least `gap` of the axis' height apart."""
    log = axes.get_yscale() == "log"
    low, high = (math.log(y) if log else y for y in axes.get_ylim())
    ends = sorted(ends, key=lambda end: end[1])
    places = spread([((math.log(y) if log else y) - low) / (high - low) for _, y, _, _ in ends], gap)
    for place, (x, y, text, color) in zip(places, ends):
        axes.annotate(text, (x, y), (1.04, place), textcoords="axes fraction", color=color, va="center", fontsize=9,
                      fontweight="bold" if text == "capp" else "normal",
                      arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "shrinkA": 0, "shrinkB": 3})


def names_of(name, dtype):
    theirs = name.removesuffix(" " + dtype)
    for beginning, text in (("capp generate", "capp, generating {} token{}"), ("generate", "transformers, generating {} token{}")):
        if theirs.startswith(beginning):
            n = theirs.rsplit(" ", 1)[1]
            return text.format(n, "s" if n != "1" else "")
    return {"CAPPr cached": "CAPPr, cached", "CAPPr uncached": "CAPPr, no cache", "capp f32": "capp, float32"}.get(theirs, theirs)


def lines(axes, points, value):
    """Draws a line for each method; returns the ends for label_ends."""
    ends = []
    for name in dict.fromkeys(name for point in points for name in point["methods"]):
        found = [(point["n"], value(point["methods"][name])) for point in points if name in point["methods"]]
        found = [(n, y) for n, y in found if y is not None]
        if not found:
            continue
        color, dashes, width, marker = style(name)
        axes.plot(*zip(*found), color=color, linewidth=width, marker=marker, markersize=3.6, zorder=3 if name == "capp" else 2,
                  **({"dashes": dashes} if dashes else {}))
        ends.append((*found[-1], names_of(name, points[0]["dtype"]), color))
    return ends


def log_ticks(axis, low, high):
    """1, 2, 5, 10, ... between low and high as plain numbers; 1, 3, 10, ... where that would be too many."""
    steps = (1, 2, 5) if high / low < 60 else (1, 3)
    ticks = [k * 10.0**e for e in range(-5, 8) for k in steps if low <= k * 10.0**e <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_locator(NullLocator())


def classes(results):
    """The seed's figure: time and peak memory by the number of distinct classes."""
    points = results.points("figure", name=f"distinct {results.dtype}")
    if len(points) < 2:
        return None
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(7.4, 8.2), height_ratios=(1.5, 1), gridspec_kw={"hspace": 0.34})
    for axes, value, title, unit in (
            (top, median, "Seconds to decide 48 COPA prompts, model loaded (log scale)", "seconds"),
            (bottom, lambda facts: facts["peak_bytes"] / 1e9 if "peak_bytes" in facts else None,
             "Peak memory of the whole process; capp is held to CAPPr's", "GB")):
        ends = lines(axes, points, value)
        axes.set(title=title, xlabel="classes (distinct)", ylabel=unit)
        axes.set_xticks([point["n"] for point in points])
        if axes is top:
            axes.set_yscale("log")
            log_ticks(axes.yaxis, *axes.get_ylim())
        else:
            axes.set_ylim(0)
        label_ends(axes, ends, 0.06 if axes is top else 0.085)
    figure.text(0.125, 0.945, f"GPT-2 small's shape, random weights, {results.dtype}; batches of 16; {results.machine['processor']}, "
                f"{results.machine['threads']} threads", fontsize=8.5)
    return figure


def ratios(results):
    """The speed ratio of capp to the others, and the limit of the machine."""
    rows = [row for row in stored.ratios(results) if row["bar"] is not None]
    if not rows:
        return None
    figure, axes = plt.subplots(figsize=(7.6, 0.42 * len(rows) + 1.3))
    for at, row in enumerate(reversed(rows)):
        axes.plot([1, row["ratio"]], [at, at], color=PURPLE, linewidth=5, solid_capstyle="butt", zorder=2)
        if row["roof"]:
            axes.plot(row["roof"], at, marker="|", markersize=9, color=GRAY, markeredgewidth=2, zorder=1)
        axes.annotate(times_text(row["ratio"]), (max(row["ratio"], row["roof"] or 0), at), (7, 0), textcoords="offset points", va="center",
                      color=PURPLE, fontsize=9, fontweight="bold")
    axes.set_xscale("log")
    ends = [value for row in rows for value in (row["ratio"], row["roof"]) if value]
    axes.set_xlim(min(0.5, min(ends) / 1.3), max(ends) * 2)
    log_ticks(axes.xaxis, *axes.get_xlim())
    axes.yaxis.set_major_locator(FixedLocator(range(len(rows))))
    axes.yaxis.set_major_formatter(FixedFormatter([row["label"] for row in reversed(rows)]))
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.grid(axis="y", visible=False)
    axes.set(title="How many times faster capp is (log scale)", xlabel="gray mark: the limit of the machine")
    return figure


def times_text(value):
    return f"{value:.1f}×" if value < 100 else f"{value:.0f}×"


def scaling(results):
    """Seconds, compared with the cost of the tree's tokens at the rate of the largest point, and memory."""
    columns = [(against, results.points("scaling", against=against)) for against in ("classes", "rows")]
    columns = [(against, points) for against, points in columns if len(points) > 1]
    if not columns:
        return None
    figure, grid = plt.subplots(2, len(columns), figsize=(4.5 * len(columns), 5.6), height_ratios=(2, 1), squeeze=False,
                                gridspec_kw={"hspace": 0.42, "wspace": 0.28})
    for (against, points), (top, bottom) in zip(columns, grid.T):
        each = [point["methods"]["capp"] for point in points]
        n, time = [point["n"] for point in points], [median(facts) for facts in each]
        rate = time[-1] / each[-1]["tokens_computed"]
        top.plot(n, [rate * facts["tokens_computed"] for facts in each], color=GRAY, linewidth=5, alpha=0.45)
        top.plot(n, time, color=PURPLE, linewidth=2, marker="D", markersize=4)
        top.set(title=f"Seconds by number of {against}", xlabel=against, xscale="log", yscale="log")
        for axis, limits in ((top.xaxis, top.get_xlim()), (top.yaxis, top.get_ylim())):
            log_ticks(axis, *limits)
        top.text(0.04, 0.92, "capp", transform=top.transAxes, color=PURPLE, fontweight="bold")
        top.text(0.04, 0.84, "tokens of the tree at one price", transform=top.transAxes, color=GRAY)
        bottom.plot(n, [facts["peak_bytes"] / 1e9 for facts in each], color=PURPLE, linewidth=2, marker="D", markersize=4)
        bottom.set(title="Peak memory, GB", xlabel=against, xscale="log", ylim=(0, 1.25 * max(f["peak_bytes"] / 1e9 for f in each)))
        log_ticks(bottom.xaxis, *bottom.get_xlim())
    return figure


def draw(results, folder):
    """Draws the figures that have results: (figure, name of its file in folder)."""
    for name, plot in (("classes", classes), ("ratios", ratios), ("scaling", scaling)):
        figure = plot(results)
        if figure:
            path = folder / f"figure-{name}-{results.name}.svg"
            save(figure, path)
            yield name, path.name
