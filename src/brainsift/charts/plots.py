"""Arrays -> charts, one function per chart. Series differ in colour, and in dash or marker as well."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from brainsift.charts.figure import GRID, INK, SERIES, Figure, from_drawing
from brainsift.stats.intervals import Interval
from brainsift.stats.scores import Confusion

Predictions = Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]
"""Labels and probabilities by the name of the model."""

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
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "path.simplify": True,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
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


class TrialPoint(NamedTuple):
    """One trial of a search: its number, the value of one setting, its validation loss, and whether it was stopped."""

    number: int
    setting: float
    loss: float
    pruned: bool = False


@rc_context(_STYLE)
def roc_curves(models: Predictions) -> Figure | None:
    """Draws ROC curves over each other; None where no model has both classes."""
    from sklearn.metrics import roc_auc_score, roc_curve

    if not (usable := _both_classes(models)):
        return None
    drawing, axes = _square("1 − specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for number, (name, (labels, probabilities)) in enumerate(usable.items()):
        false, true, _ = roc_curve(labels, probabilities)
        _curve(axes, number, false, true, f"{name} ({roc_auc_score(labels, probabilities):.3f})")
    _legend(axes, "lower right", title="area under the curve")
    return from_drawing(drawing, "ROC curves")


@rc_context(_STYLE)
def pr_curves(models: Predictions) -> Figure | None:
    """Draws precision against sensitivity; the dotted line is the share of tumors. None as for `roc_curves`."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    if not (usable := _both_classes(models)):
        return None
    drawing, axes = _square("sensitivity (recall)", "precision")
    for number, (name, (labels, probabilities)) in enumerate(usable.items()):
        precision, recall, _ = precision_recall_curve(labels, probabilities)
        axes.axhline(float(np.mean(labels)), color=INK, linewidth=0.8, linestyle=":")
        _curve(axes, number, recall, precision, f"{name} ({average_precision_score(labels, probabilities):.3f})")
    _legend(axes, "lower left", title="average precision")
    return from_drawing(drawing, "precision-recall curves")


@rc_context(_STYLE)
def calibration_plot(models: Predictions, *, bins: int = 10) -> Figure | None:
    """Draws the share of tumors against the predicted probability, in bins of equal mass. None as for `roc_curves`."""
    from sklearn.calibration import calibration_curve

    if not (usable := _both_classes(models)):
        return None
    drawing, axes = _square("predicted probability", "share of tumors")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for number, (name, (labels, probabilities)) in enumerate(usable.items()):
        true, given = calibration_curve(labels, probabilities, n_bins=bins, strategy="quantile")
        _curve(axes, number, given, true, name, marker=_MARKERS[number % 6])
    _legend_above(axes)
    return from_drawing(drawing, "calibration plot")


@rc_context(_STYLE)
def confusion_matrix(cells: Confusion, title: str) -> Figure:
    """Draws one confusion matrix: rows are the truth, columns the predictions; shade is the share of a row."""
    drawing = Drawing(figsize=(2.9, 2.6))
    axes = drawing.add_subplot()
    counts = np.array([[cells.tn, cells.fp], [cells.fn, cells.tp]], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in itertools.product(range(2), range(2)):
        share = shares[row, column]
        colour = SERIES[0] if row == column else SERIES[1]
        axes.fill_between([column, column + 1], row, row + 1, color=colour, alpha=0.06 + 0.44 * share, linewidth=0)
        words = f"{int(counts[row, column])}\n{100 * share:.1f} %"
        axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", fontsize=12)
    axes.set(xlim=(0, 2), ylim=(2, 0), xlabel="prediction", ylabel="truth", title=title)
    axes.set_xticks([0.5, 1.5], ["no tumor", "tumor"])
    axes.set_yticks([0.5, 1.5], ["no tumor", "tumor"], rotation=90, va="center")
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return from_drawing(drawing, f"confusion matrix of {title}")


@rc_context(_STYLE)
def training_curves(curves: Mapping[str, pd.DataFrame], *, column: str = "validation_loss") -> Figure:
    """Draws one column of several curve.csv against the epoch; the ring marks the best epoch."""
    drawing, axes = _panel("epoch", column.replace("_", " "))
    lowest = column.endswith("loss")
    for number, (name, curve) in enumerate(curves.items()):
        values = curve[column].to_numpy(dtype=float)
        if not np.isfinite(values).any():
            continue
        epochs = curve["epoch"].to_numpy()
        _curve(axes, number, epochs, values, name)
        best = int(np.nanargmin(values) if lowest else np.nanargmax(values))
        axes.plot(epochs[best], values[best], "o", markersize=7, fillstyle="none", color=SERIES[number % 6])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_above(axes)
    return from_drawing(drawing, f"{column} by epoch")


@rc_context(_STYLE)
def class_distribution(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Draws stacked bars: for each row's name, numbers by class name."""
    classes = list(dict.fromkeys(name for row in counts.values() for name in row))
    drawing, axes = _panel("images", "", height=0.7 + 0.38 * len(counts))
    places, left = np.arange(len(counts), dtype=float), np.zeros(len(counts))
    for number, name in enumerate(classes):
        values = np.array([row.get(name, 0) for row in counts.values()], dtype=float)
        colour = (SERIES[1], SERIES[0], GRID)[number % 3]
        axes.barh(places, values, left=left, height=0.62, color=colour, label=name)
        left += values
    for place, total in zip(places, left, strict=True):
        axes.annotate(f"{int(total)}", (total, place), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, list(counts))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(False, axis="y")
    _legend_above(axes)
    return from_drawing(drawing, "class distribution")


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
) -> Figure:
    """Draws values with their intervals, one row per label; several bars of one label share its row.

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
    drawing, axes = _panel(xlabel, "", width=5.4, height=1.0 + 0.24 * len(bars) + 0.2 * len(labels))
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
        axes.axvline(chance, color=INK, linewidth=0.8, linestyle=":")
    if percent:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    _forest_legend(axes, bars, names, mark_name if marks else "")
    return from_drawing(drawing, xlabel)


@rc_context(_STYLE)
def tuning(trials: Sequence[TrialPoint], setting: str) -> Figure:
    """Draws the validation loss of each trial against one setting; late trials are darker, a star is the best."""
    drawing, axes = _panel(setting.replace("_", " "), "validation loss")
    latest = max((trial.number for trial in trials), default=0) or 1
    for trial in trials:
        face = "none" if trial.pruned else SERIES[0]
        shade = 0.3 + 0.7 * trial.number / latest
        axes.plot(trial.setting, trial.loss, "o", color=SERIES[0], markerfacecolor=face, alpha=shade)
    finished = [trial for trial in trials if not trial.pruned]
    if finished:
        best = min(finished, key=lambda trial: trial.loss)
        axes.plot(best.setting, best.loss, "*", color=SERIES[1], markersize=15, label="best")
        axes.legend(loc="upper right")
    values = [trial.setting for trial in trials]
    if values and min(values) > 0 and max(values) / min(values) > 20:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    return from_drawing(drawing, f"validation loss by {setting}")


def _both_classes(models: Predictions) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    pairs = {name: (np.asarray(labels), np.asarray(values)) for name, (labels, values) in models.items()}
    return {name: pair for name, pair in pairs.items() if len(np.unique(pair[0])) == 2}


def _panel(xlabel: str, ylabel: str, *, width: float = 4.6, height: float = 3.4) -> tuple[Drawing, Axes]:
    drawing = Drawing(figsize=(width, height))
    axes = drawing.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return drawing, axes


def _square(xlabel: str, ylabel: str) -> tuple[Drawing, Axes]:
    drawing, axes = _panel(xlabel, ylabel, height=4.4)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return drawing, axes


def _curve(axes: Axes, number: int, x: npt.ArrayLike, y: npt.ArrayLike, label: str, *, marker: str = "") -> None:
    colour, dash = SERIES[number % 6], _DASHES[number % 6]
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
    if not bar.interval.known:
        return
    colour, face = SERIES[bar.series % 6], "none" if bar.hollow else SERIES[bar.series % 6]
    if np.isfinite(low) and np.isfinite(high):
        axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    marker = _MARKERS[bar.series % 6]
    axes.plot(value, place, marker, color=colour, markersize=7, markerfacecolor=face, markeredgewidth=1.6)


def _marks(axes: Axes, values: Sequence[float], top: float, bottom: float) -> None:
    for value in values:
        axes.plot([value, value], [top, bottom], color=INK, linewidth=2.4, solid_capstyle="butt")


def _forest_legend(axes: Axes, bars: Sequence[Bar], names: Sequence[str], mark_name: str) -> None:
    for series in sorted({bar.series for bar in bars}):
        if series < len(names):
            hollow = all(bar.hollow for bar in bars if bar.series == series)
            face = "none" if hollow else SERIES[series % 6]
            style: Any = {
                "color": SERIES[series % 6],
                "markerfacecolor": face,
                "markersize": 7,
                "markeredgewidth": 1.6,
            }
            axes.plot([], [], _MARKERS[series % 6], label=names[series], **style)
    if mark_name:
        axes.plot([], [], "|", color=INK, markersize=11, markeredgewidth=2.4, label=mark_name)
    _legend_above(axes)
