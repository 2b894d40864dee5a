"""Arrays -> figures as inline SVG, for light and dark pages.

Text, axes and series take their colours from the page (`currentColor` and the variables ``--grid``, ``--c1`` to
``--c6``), so that one drawing serves light, dark and print. The series follow Okabe & Ito's palette for colour-blind
readers, and differ in dash or marker as well.
"""

import hashlib
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from brainsift.stats.metrics import Interval

Predictions = Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]
"""Labels and probabilities by the name of the model."""

# Stand-ins that matplotlib draws with; the page's colours take their place in the SVG.
_INK, _GRID = "#010203", "#040506"
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", "-.", (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)))
_MARKERS = "osD^vP"
_LINE_LETTERS = 60
_STYLE: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "path.simplify": True,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
}


class Bar(NamedTuple):
    """One row of a `forest`: a value with its interval; ``value`` in percent or as it is."""

    label: str
    interval: Interval
    series: int = 0
    hollow: bool = False


class Mark(NamedTuple):
    """A reference value beside the rows of one label."""

    label: str
    value: float


@rc_context(_STYLE)
def roc_curves(models: Predictions) -> str:
    """Draws ROC curves over each other; "" where no model has both classes."""
    from sklearn.metrics import roc_auc_score, roc_curve

    if not (usable := _both_classes(models)):
        return ""
    figure, axes = _square("1 − specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
    for number, (name, (labels, probabilities)) in enumerate(usable.items()):
        false, true, _ = roc_curve(labels, probabilities)
        _curve(axes, number, false, true, f"{name} ({roc_auc_score(labels, probabilities):.3f})")
    _legend(axes, "lower right", title="area under the curve")
    return _svg(figure, "ROC curves")


@rc_context(_STYLE)
def pr_curves(models: Predictions) -> str:
    """Draws precision against sensitivity; the dotted line is the share of tumors. "" as for `roc_curves`."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    if not (usable := _both_classes(models)):
        return ""
    figure, axes = _square("sensitivity (recall)", "precision")
    for number, (name, (labels, probabilities)) in enumerate(usable.items()):
        precision, recall, _ = precision_recall_curve(labels, probabilities)
        axes.axhline(float(np.mean(labels)), color=_INK, linewidth=0.8, linestyle=":")
        _curve(axes, number, recall, precision, f"{name} ({average_precision_score(labels, probabilities):.3f})")
    _legend(axes, "lower left", title="average precision")
    return _svg(figure, "precision-recall curves")


@rc_context(_STYLE)
def calibration_plot(models: Predictions, *, bins: int = 10) -> str:
    """Draws how often it was a tumor against the probability given, in bins of equal mass. "" as for `roc_curves`."""
    from sklearn.calibration import calibration_curve

    if not (usable := _both_classes(models)):
        return ""
    figure, axes = _square("probability given", "share that are tumors")
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
    for number, (name, (labels, probabilities)) in enumerate(usable.items()):
        true, given = calibration_curve(labels, probabilities, n_bins=bins, strategy="quantile")
        _curve(axes, number, given, true, name, marker=_MARKERS[number % 6])
    _legend_above(axes)
    return _svg(figure, "calibration plot")


@rc_context(_STYLE)
def confusion_matrix(cells: Mapping[str, int], title: str) -> str:
    """Draws one confusion matrix: rows are the truth, columns what the model says; shade is the share of a row."""
    figure = Figure(figsize=(2.9, 2.6))
    axes = figure.add_subplot()
    counts = np.array([[cells["tn"], cells["fp"]], [cells["fn"], cells["tp"]]], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in itertools.product(range(2), range(2)):
        share = shares[row, column]
        colour = _SERIES[0] if row == column else _SERIES[1]
        axes.fill_between([column, column + 1], row, row + 1, color=colour, alpha=0.06 + 0.44 * share, linewidth=0)
        words = f"{int(counts[row, column])}\n{100 * share:.1f} %"
        axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", fontsize=12)
    axes.set(xlim=(0, 2), ylim=(2, 0), xlabel="model says", ylabel="truth", title=title)
    axes.set_xticks([0.5, 1.5], ["no tumor", "tumor"])
    axes.set_yticks([0.5, 1.5], ["no tumor", "tumor"], rotation=90, va="center")
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return _svg(figure, f"confusion matrix of {title}")


@rc_context(_STYLE)
def training_curves(curves: Mapping[str, pd.DataFrame], *, column: str = "validation_loss") -> str:
    """Draws one column of several curve.csv against the epoch; the ring marks the best epoch."""
    figure, axes = _panel("epoch", column.replace("_", " "))
    lowest = column.endswith("loss")
    for number, (name, curve) in enumerate(curves.items()):
        values = curve[column].to_numpy(dtype=float)
        if not np.isfinite(values).any():
            continue
        epochs = curve["epoch"].to_numpy()
        _curve(axes, number, epochs, values, name)
        best = int(np.nanargmin(values) if lowest else np.nanargmax(values))
        axes.plot(epochs[best], values[best], "o", markersize=7, fillstyle="none", color=_SERIES[number % 6])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_above(axes)
    return _svg(figure, f"{column} by epoch")


@rc_context(_STYLE)
def class_distribution(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Draws stacked bars: for each row's name, numbers by class name."""
    classes = list(dict.fromkeys(name for row in counts.values() for name in row))
    figure, axes = _panel("images", "", height=0.7 + 0.38 * len(counts))
    places, left = np.arange(len(counts), dtype=float), np.zeros(len(counts))
    for number, name in enumerate(classes):
        values = np.array([row.get(name, 0) for row in counts.values()], dtype=float)
        colour = (_SERIES[1], _SERIES[0], _GRID)[number % 3]
        axes.barh(places, values, left=left, height=0.62, color=colour, label=name)
        left += values
    for place, total in zip(places, left, strict=True):
        axes.annotate(f"{int(total)}", (total, place), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, list(counts))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(False, axis="y")
    _legend_above(axes)
    return _svg(figure, "class distribution")


@rc_context(_STYLE)
def forest(
    bars: Sequence[Bar],
    *,
    xlabel: str,
    marks: Sequence[Mark] = (),
    mark_name: str = "claimed",
    chance: float | None = 0.5,
    percent: bool = True,
    names: Sequence[str] = (),
) -> str:
    """Draws values with their intervals, a row a label; several bars of one label share its row.

    Args:
        bars: the values; ``series`` picks colour and marker.
        xlabel: name of the value.
        marks: reference values, drawn as open diamonds in the row of their label.
        mark_name: what the reference values are.
        chance: where a dotted line stands.
        percent: whether values of 0 to 1 are shown as percent.
        names: of the series, for the legend.
    """
    labels = list(dict.fromkeys(bar.label for bar in bars))
    per_label = [[bar for bar in bars if bar.label == label] for label in labels]
    figure, axes = _panel(xlabel, "", width=5.4, height=1.0 + 0.24 * len(bars) + 0.2 * len(labels))
    place, ticks = 0.0, []
    for label, rows in zip(labels, per_label, strict=True):
        ticks.append(place + (len(rows) - 1) * 0.5)
        _marks(axes, [mark.value for mark in marks if mark.label == label], place - 0.4, place + len(rows) - 0.6)
        for bar in rows:
            _whisker(axes, bar, place)
            place += 1.0
        place += 0.8
    axes.set_yticks(ticks, labels)
    axes.set_ylim(place - 0.9, -0.9)
    axes.grid(False, axis="y")
    if chance is not None:
        axes.axvline(chance, color=_INK, linewidth=0.8, linestyle=":")
    if percent:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    _forest_legend(axes, bars, names, mark_name if marks else "")
    return _svg(figure, xlabel)


@rc_context(_STYLE)
def tuning(trials: Sequence[Mapping[str, Any]], setting: str) -> str:
    """Draws the validation loss of each trial against one setting; late trials are darker, a star is the best."""
    figure, axes = _panel(setting.replace("_", " "), "validation loss")
    usable = [trial for trial in trials if trial.get("value") is not None and trial.get(setting) is not None]
    latest = max((trial["number"] for trial in usable), default=0) or 1
    for trial in usable:
        pruned = str(trial.get("state", "")).lower() == "pruned"
        shade = 0.3 + 0.7 * trial["number"] / latest
        face = "none" if pruned else _SERIES[0]
        axes.plot(trial[setting], trial["value"], "o", color=_SERIES[0], markerfacecolor=face, alpha=shade)
    finished = [trial for trial in usable if str(trial.get("state", "")).lower() != "pruned"]
    if finished:
        best = min(finished, key=lambda trial: trial["value"])
        axes.plot(best[setting], best["value"], "*", color=_SERIES[1], markersize=15, label="best")
        axes.legend(loc="upper right")
    values = [float(trial[setting]) for trial in usable]
    if values and min(values) > 0 and max(values) / min(values) > 20:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    return _svg(figure, f"validation loss by {setting}")


def _both_classes(models: Predictions) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    pairs = {name: (np.asarray(labels), np.asarray(values)) for name, (labels, values) in models.items()}
    return {name: pair for name, pair in pairs.items() if len(np.unique(pair[0])) == 2}


def _panel(xlabel: str, ylabel: str, *, width: float = 4.6, height: float = 3.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def _square(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure, axes = _panel(xlabel, ylabel, height=4.4)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return figure, axes


def _curve(axes: Axes, number: int, x: npt.ArrayLike, y: npt.ArrayLike, label: str, *, marker: str = "") -> None:
    colour, dash = _SERIES[number % 6], _DASHES[number % 6]
    axes.plot(x, y, color=colour, linestyle=dash, marker=marker or None, markersize=5, label=label)


def _legend(axes: Axes, place: Any, title: str = "") -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc=place, title=title, title_fontsize=10, handlelength=2.6)


def _legend_above(axes: Axes) -> None:
    names = axes.get_legend_handles_labels()[1]
    if names:
        columns = max(1, min(3, _LINE_LETTERS // (max(map(len, names)) + 6)))  # as many as stay within the axes
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.1, handlelength=1.8)


def _whisker(axes: Axes, bar: Bar, place: float) -> None:
    value, low, high = bar.interval
    if not np.isfinite(value):
        return
    colour, face = _SERIES[bar.series % 6], "none" if bar.hollow else _SERIES[bar.series % 6]
    if np.isfinite(low) and np.isfinite(high):
        axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    marker = _MARKERS[bar.series % 6]
    axes.plot(value, place, marker, color=colour, markersize=7, markerfacecolor=face, markeredgewidth=1.6)


def _marks(axes: Axes, values: Sequence[float], top: float, bottom: float) -> None:
    for value in values:
        axes.plot([value, value], [top, bottom], color=_INK, linewidth=2.4, solid_capstyle="butt")


def _forest_legend(axes: Axes, bars: Sequence[Bar], names: Sequence[str], mark_name: str) -> None:
    for series in sorted({bar.series for bar in bars}):
        if series < len(names):
            hollow = all(bar.hollow for bar in bars if bar.series == series)
            face = "none" if hollow else _SERIES[series % 6]
            style: Any = {
                "color": _SERIES[series % 6],
                "markerfacecolor": face,
                "markersize": 7,
                "markeredgewidth": 1.6,
            }
            axes.plot([], [], _MARKERS[series % 6], label=names[series], **style)
    if mark_name:
        axes.plot([], [], "|", color=_INK, markersize=11, markeredgewidth=2.4, label=mark_name)
    _legend_above(axes)


def _svg(figure: Figure, title: str) -> str:
    """Renders a figure as an inline SVG that scales, without what names the machine or the day."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": title}):
        figure.savefig(
            buffer, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.05, metadata={"Date": None}
        )
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    return _on_page(drawn, title)


def _on_page(drawn: str, title: str) -> str:
    """Gives an SVG the page's colours and fonts, ids of its own, and a name for those who cannot see it."""
    drawn = drawn.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")
    for number, colour in enumerate(_SERIES, start=1):
        drawn = drawn.replace(to_hex(colour), f"var(--c{number})")
    drawn = re.sub(r"(font: (?:\d+ )?[\d.]+px|font-family:) [^;\"]+", r"\1 system-ui, sans-serif", drawn)
    drawn = re.sub(r' xmlns(:xlink)?="[^"]*"| version="1.1"|<defs>\s*</defs>', "", drawn).replace("xlink:href", "href")
    drawn = re.sub(r' transform="rotate\(-0 [^"]*"', "", drawn)
    prefix = f"f{hashlib.sha256(drawn.encode()).hexdigest()[:8]}-"
    drawn = re.sub(r'id="([^"]+)"', rf'id="{prefix}\1"', drawn)
    drawn = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", drawn)
    width = re.search(r'<svg[^>]*? width="([\d.]+)pt"', drawn)
    drawn = re.sub(r'(<svg[^>]*?) (?:width="[\d.]+pt")', r"\1", drawn, count=1)
    drawn = re.sub(r'(<svg[^>]*?) (?:height="[\d.]+pt")', r"\1", drawn, count=1)
    size = f"{float(width.group(1)) * 96 / 72:.0f}" if width else "440"
    head = f'<svg role="img" aria-label="{escape(title)}" style="--width: {size}px"'
    return re.sub(r"\s*\n\s*", "\n", drawn.replace("<svg", head, 1)).strip()


def standalone(drawn: str) -> str:
    """Turns an inline SVG into a file of its own: dark ink, and nothing taken from a page."""
    drawn = drawn.replace("currentColor", "#000000").replace("var(--grid)", "#dddddd")
    for number, colour in enumerate(_SERIES, start=1):
        drawn = drawn.replace(f"var(--c{number})", to_hex(colour))
    own = r'xmlns="http://www.w3.org/2000/svg" style="background: #ffffff" width="\1"'
    return re.sub(r'style="--width: (\d+)px"', own, drawn, count=1) + "\n"
