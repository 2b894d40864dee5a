"""Results of a study -> what its page shows."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from brainsift.auditing.reading import class_figure
from brainsift.charts import plots
from brainsift.charts.figure import Figure
from brainsift.core import text
from brainsift.core.errors import BrainsiftError
from brainsift.datasets.manifest import read_manifest
from brainsift.datasets.protocols import is_leaky
from brainsift.evaluation.calibrated_run import calibrated_run
from brainsift.reports import galleries
from brainsift.reports.audit_page import probe_block, total_tiles
from brainsift.reports.search_page import search_block
from brainsift.reports.sections import Context, Section, Tile, contents, headings
from brainsift.stats import metrics
from brainsift.stats.intervals import Interval
from brainsift.studies.study import THRESHOLD
from brainsift.studies.study_records import Family, StudySummary
from brainsift.studies.study_results import StudyResults, accuracy_figure, believe, choose, claims

_CURVES_AT_ONCE = 6
_FEW_GROUPS = 10
_SAMPLES = 6
_TWINS = ("same_file", "same_pixels", "same_group")
_CURVES = {
    "train_loss": "Loss on the training set (label smoothing and augmentation make it unlike the next).",
    "validation_loss": "Loss on the validation set; the ring marks the best epoch.",
    "validation_auc": "ROC AUC on the validation set.",
}
SECTIONS = (
    Section("believe", "What to believe", "What to believe"),
    Section("accuracy", "Accuracy", "Accuracy of each network"),
    Section("claims", "The baseline’s claims", "The baseline study’s claims", "claims"),
    Section("external", "Unseen sources", "On sources it never saw", "external"),
    Section("leaks", "Copies across the split", "Copies across the split", "twins"),
    Section("probes", "Simple rules", "What simple rules reach", "probe_rows"),
    Section("data", "The images", "The images"),
    Section("errors", "Worst errors", "Where it was most wrong", "errors"),
    Section("comparisons", "Pairs of networks", "Pairs of networks on the same images", "comparisons"),
    Section("training", "Training", "Training"),
    Section("tuning", "Search for settings", "Search for settings", "searches"),
    Section("again", "To do it again", "To do it again"),
)


class ExternalLine(NamedTuple):
    """One score of one unseen source: one cell per network, None where the network was not scored on it."""

    source: str
    metric: str
    n: int
    n_tumor: int
    n_groups: int
    cells: list[Interval | None]

    @property
    def few(self) -> bool:
        """Whether there are too few groups for the interval to be believed."""
        return self.n_groups < _FEW_GROUPS


def study_page(results: StudyResults, folder: Path) -> Context:
    """Returns the variables of the template of a study, in the order in which the page shows them.

    Args:
        results: of `study.run_study`.
        folder: of the study; predictions, curves and images that are not there are left out.
    """
    titles, rows, chosen = headings(SECTIONS), results.honest_first(), choose(results)
    predictions = _predictions(results, folder)
    forest = accuracy_figure(results)
    claimed = claims(results)
    context: Context = {
        "headings": titles,
        "headline": believe(results),
        "tiles_shown": _tiles(rows, chosen),
        "forest": forest and forest.under(titles["accuracy"]),
        "forest_caption": "Accuracy on test images with 95 % intervals. Hollow: random split, leaky."
        + (" Upright bars: what the baseline study claims." if claimed else ""),
        "summary": rows,
        "chosen": chosen,
        "metrics": metrics.METRICS,
        "percent_metrics": text.SHARES,
        "several_folds": any(row.n_folds > 1 for row in rows),
        "curves": _curves(predictions),
        "claims": [(claim, _measured(rows, claim.model)) for claim in claimed],
        **_external(results, rows, titles["external"]),
        "twins": _twins(results),
        **probe_block(results.audit, titles["probes"]),
        "totals": total_tiles(results.audit),
        **_images(folder, titles["data"]),
        "errors": galleries.error_gallery(predictions[chosen.family])
        if chosen and chosen.family in predictions
        else [],
        "comparisons": results.comparisons,
        "training": _training(results, folder, titles["training"]),
        "runs": results.runs,
        "searches": [search_block(search) for search in results.tuning],
        "facts": _facts(results),
    }
    return {**context, "contents": contents(SECTIONS, context)}


def _predictions(results: StudyResults, folder: Path) -> dict[Family, pd.DataFrame]:
    """Calibrated test predictions of each network, its folds joined; networks without files are left out."""
    found: dict[Family, list[pd.DataFrame]] = {}
    for run in results.runs:
        try:
            test = calibrated_run(folder / run.folder, threshold=THRESHOLD).rows("test")
        except BrainsiftError:
            continue
        found.setdefault(run.family, []).append(test)
    return {family: pd.concat(tables, ignore_index=True) for family, tables in found.items()}


def _tiles(rows: Sequence[StudySummary], chosen: StudySummary | None) -> list[Tile]:
    tiles = []
    if chosen:
        accuracy, auc = chosen.pooled["accuracy"], chosen.pooled["roc_auc"]
        tiles = [
            _tile("accuracy, groups kept whole", accuracy, chosen.name),
            _tile("ROC AUC, groups kept whole", auc, chosen.name, percent=False),
        ]
        for source, one in chosen.external.items():
            metric = one.main_metric
            label = f"{text.words(metric)}, {text.words(source)}"
            tiles.append(_tile(label, one.scores[metric], f"{one.n} images"))
    leaky = [row for row in rows if row.leaky]
    if leaky:
        best = max(leaky, key=lambda row: row.pooled["accuracy"].value)
        tiles.append(_tile("best accuracy, random split", best.pooled["accuracy"], best.name, leaky=True))
    return tiles


def _tile(label: str, score: Interval, sub: str, *, percent: bool = True, leaky: bool = False) -> Tile:
    words = " · ".join(filter(None, (text.span(score, percent), sub)))
    return Tile(label, text.shown(score.value, percent), words, leaky)


def _curves(predictions: dict[Family, pd.DataFrame]) -> list[Context]:
    """Draws ROC, precision-recall, calibration and confusion matrices by protocol, a leaky one last."""
    blocks: list[Context] = []
    protocols = {protocol for protocol, *_ in predictions}
    for protocol in sorted(protocols, key=lambda name: (is_leaky(name), name != "grouped")):
        leaky = is_leaky(protocol)
        heading = f"Curves, {'random split' if leaky else protocol}"
        tables = {
            f"{model} ({recipe})": table for (one, model, recipe), table in predictions.items() if one == protocol
        }
        shown = list(tables.items())[:_CURVES_AT_ONCE]
        pairs = {name: (table["label"].to_numpy(), table["probability"].to_numpy()) for name, table in shown}
        drawn = (plots.roc_curves(pairs), plots.pr_curves(pairs), plots.calibration_plot(pairs))
        roc, pr, calibration = (figure and figure.under(heading, leaky=leaky) for figure in drawn)
        confusions = [
            plots.confusion_matrix(
                metrics.confusion(table["label"], table["probability"], table["threshold"].to_numpy()), name
            ).under(heading, leaky=leaky)
            for name, table in tables.items()
        ]
        block = {"heading": heading, "leaky": leaky, "roc": roc, "pr": pr, "calibration": calibration}
        blocks.append({**block, "confusions": confusions})
    return blocks


def _measured(rows: Sequence[StudySummary], model: str) -> list[Interval | None]:
    """Accuracy of a network by its own recipe and trained properly, each on a random and a grouped split."""
    found = {row.family: row.pooled["accuracy"] for row in rows}
    kinds = [(protocol, recipe) for recipe in ("baseline", "standard") for protocol in ("random", "grouped")]
    return [found.get((protocol, model, recipe)) for protocol, recipe in kinds]


def _external(results: StudyResults, all_rows: Sequence[StudySummary], heading: str) -> Context:
    """Lines by source, cells by network; networks trained on a leaky split only where there is no other."""
    scored = [row for row in all_rows if row.external]
    rows = [row for row in scored if not row.leaky] or scored
    lines, bars = [], []
    for source in dict.fromkeys(source for row in rows for source in row.external):
        entries = [row.external.get(source) for row in rows]
        known = next(one for one in entries if one)
        main = known.main_metric
        label = text.words(source) if main == "balanced_accuracy" else f"{text.words(source)} ({main})"
        for metric in (main, "roc_auc") if main == "balanced_accuracy" else (main,):
            cells = [one.scores[metric] if one else None for one in entries]
            lines.append(ExternalLine(source, metric, known.n, known.n_tumor, known.n_groups, cells))
        bars += [plots.Bar(label, one.scores[main], number) for number, one in enumerate(entries) if one]
    names = [row.name for row in rows]
    chart = plots.forest(bars, xlabel="balanced accuracy", names=names).under(heading) if bars else None
    return {
        "external": lines,
        "external_models": names,
        "external_chart": chart,
        "few_groups": any(line.few for line in lines),
        "overlap": ", ".join(f"{count} of {source}" for source, count in results.external_overlap.items()),
    }


def _twins(results: StudyResults) -> list[Context]:
    """One line per protocol, from the run of its first fold, a leaky protocol last."""
    firsts = {run.protocol: run for run in reversed(results.runs) if run.twins}
    return [
        {
            "protocol": run.protocol,
            "leaky": run.leaky,
            "n": int(run.twins["test"]),
            "shares": [run.twins.get(f"{kind}_share") for kind in _TWINS],
        }
        for run in sorted(firsts.values(), key=lambda run: run.leaky)
    ]


def _images(folder: Path, heading: str) -> Context:
    try:
        manifest = read_manifest(folder / "manifest.csv")
    except BrainsiftError:
        return {"distribution": None, "samples": {}, "preprocessing": []}
    usable = manifest[manifest["status"] == "ok"]
    return {
        "distribution": class_figure(manifest).under(heading),
        "samples": galleries.sample_gallery(manifest),
        "preprocessing": galleries.before_after(usable.sample(min(_SAMPLES, len(usable)), random_state=1)),
    }


def _training(results: StudyResults, folder: Path, heading: str) -> list[tuple[Figure, str]]:
    """Draws the curves of training of the first folds, with a caption each."""
    curves: dict[str, pd.DataFrame] = {}
    for run in sorted(results.runs, key=lambda run: (run.leaky, run.protocol != "grouped")):
        path = folder / run.folder / "curve.csv"
        if run.fold == 0 and path.is_file() and len(curves) < _CURVES_AT_ONCE:
            _, model, recipe = run.family
            curves[f"{model} ({recipe}{', leaky' * run.leaky})"] = pd.read_csv(path)
    found = []
    for column, caption in _CURVES.items():
        having = {name: curve for name, curve in curves.items() if column in curve}
        if having:
            found.append((plots.training_curves(having, column=column).under(heading), caption))
    return found


def _facts(results: StudyResults) -> list[tuple[str, str]]:
    memory = f"{results.peak_memory_mb:.0f} MB" if math.isfinite(results.peak_memory_mb) else ""
    named = {
        "command": results.command,
        "commit": results.commit,
        "time": text.duration(results.seconds),
        "peak memory": memory,
        **results.hardware,
        "seed": results.config.get("seed", ""),
    }
    return [(text.words(name), str(fact)) for name, fact in named.items() if fact != ""]
