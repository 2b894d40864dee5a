"""Results of a study -> what its page shows."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from brainsift.core import text
from brainsift.core.errors import BrainsiftError
from brainsift.datasets.manifest import read_manifest
from brainsift.evaluation.evaluate import calibrated_predictions
from brainsift.reports import charts, galleries
from brainsift.reports.audit_page import as_interval, distribution, probe_block, total_tiles
from brainsift.reports.charts import Bar, Mark
from brainsift.reports.study_findings import believe, choose, external_score, family, is_leaky, run_recipe, twin_share
from brainsift.stats import metrics

Entry = dict[str, Any]
Family = tuple[str, str, str]

PERCENT_METRICS = ("accuracy", "balanced_accuracy", "precision", "sensitivity", "specificity")
_CURVES_AT_ONCE = 6
_FEW_GROUPS = 10
_LEAKY_LAST = {"grouped": 0, "source-out": 1, "random": 2}


def study_page(results: Entry, folder: Path) -> Entry:
    """Returns the variables of the template of a study.

    Args:
        results: of `study.run_study`; optional pieces may be missing.
        folder: of the study.
    """
    chosen, predictions = choose(results), _predictions(results, folder)
    return {
        "headline": believe(results),
        "tiles_shown": _tiles(results, chosen),
        **_accuracy(results, chosen),
        "curves": _curve_blocks(predictions),
        "claims": _claims(results),
        **_external(results),
        "twins": _twins(results),
        **probe_block(results.get("audit") or {}),
        **_images(results, folder),
        "chosen": _named(chosen) if chosen else "",
        "errors": galleries.error_gallery(predictions[family(chosen)])
        if chosen and family(chosen) in predictions
        else [],
        "comparisons": [
            {**row, "leaky": is_leaky(row["protocol"]), "percent": row["metric"] in PERCENT_METRICS}
            for row in results.get("comparisons") or []
        ],
        "training": _training(results, folder),
        "runs": results.get("runs") or [],
        "searches": [search_block(found) for found in _searches(results.get("tuning"))],
        "facts": _facts(results),
    }


def search_block(found: Entry) -> Entry:
    """Returns what is shown of one search for settings."""
    trials = found.get("trials") or []
    settings = [name for name in (trials[0] if trials else {}) if name not in ("number", "value", "state")]
    best = found.get("best") or {}
    importance = found.get("importance") or {}
    named = {name: "validation loss" if name == "value" else text.words(name) for name in best}
    facts = [(f"best {named[name]}", f"{best[name]:.4g}") for name in best if best[name] is not None]
    if importance:
        shares = (f"{text.words(name)} {100 * share:.0f} %" for name, share in importance.items())
        facts.append(("share of the variation explained", ", ".join(shares)))
    return {
        "heading": found.get("model", ""),
        "charts": [charts.tuning(trials, name) for name in settings],
        "facts": facts,
        "head": ["trial", "state", "validation loss", *(text.words(name) for name in settings)],
        "rows": [
            (trial["number"], trial.get("state", ""), *(_short(trial.get(name)) for name in ("value", *settings)))
            for trial in trials
        ],
    }


def _searches(tuning: Any) -> list[Entry]:
    return [tuning] if isinstance(tuning, dict) else list(tuning or [])


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _named(row: Entry) -> str:
    return f"{row['model']} ({row['recipe']})"


def _rows(results: Entry) -> list[Entry]:
    """The summary, honest protocols first."""
    return sorted(results.get("summary") or [], key=lambda row: _LEAKY_LAST.get(row["protocol"], 1))


def _predictions(results: Entry, folder: Path) -> dict[Family, pd.DataFrame]:
    """Calibrated test predictions of each family, its folds joined; families without files are left out."""
    found: dict[Family, list[pd.DataFrame]] = {}
    for run in results.get("runs") or []:
        try:
            table = calibrated_predictions(folder / run["folder"])
        except BrainsiftError:
            continue
        key = (run["protocol"], run["model"], run_recipe(run))
        found.setdefault(key, []).append(table[table["part"] == "test"])
    return {key: pd.concat(tables, ignore_index=True) for key, tables in found.items()}


def _tiles(results: Entry, chosen: Entry | None) -> list[Entry]:
    tiles = []
    if chosen:
        tiles = [
            _tile("accuracy, groups kept whole", chosen["pooled"]["accuracy"], _named(chosen)),
            _tile("ROC AUC, groups kept whole", chosen["pooled"]["roc_auc"], _named(chosen), percent=False),
        ]
        for source, entry in (chosen.get("external") or {}).items():
            score = external_score(entry)
            tiles.append(_tile(f"{text.words(score)}, {text.words(source)}", entry[score], f"{entry['n']} images"))
    leaky = [row for row in _rows(results) if is_leaky(row["protocol"])]
    if leaky:
        best = max(leaky, key=lambda row: row["pooled"]["accuracy"]["value"] or 0)
        tiles.append(_tile("best accuracy, random split", best["pooled"]["accuracy"], _named(best), leaky=True))
    return tiles


def _tile(label: str, interval: Entry, sub: str, *, percent: bool = True, leaky: bool = False) -> Entry:
    span = ""
    if interval.get("low") is not None:
        low, high = (text.shown(interval[key], percent, unit=False) for key in ("low", "high"))
        span = f"{low} to {high} · "
    return {"label": label, "value": text.shown(interval["value"], percent), "sub": span + sub, "leaky": leaky}


def _accuracy(results: Entry, chosen: Entry | None) -> Entry:
    rows, claims = _rows(results), _claims(results)
    kinds = list(dict.fromkeys((row["protocol"], row["recipe"]) for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    bars = [
        Bar(row["model"], as_interval(row["pooled"]["accuracy"]), kinds.index(kind), is_leaky(row["protocol"]))
        for model in models
        for kind in kinds
        for row in rows
        if (row["model"], row["protocol"], row["recipe"]) == (model, *kind)
    ]
    marks = [Mark(claim["model"], claim["accuracy"]) for claim in claims if claim["model"] in models]
    names = [f"{protocol}{' (leaky)' * is_leaky(protocol)}, {recipe}" for protocol, recipe in kinds]
    caption = "Accuracy on test images with 95 % intervals. Hollow: random split, leaky."
    return {
        "forest": charts.forest(
            bars, xlabel="accuracy", marks=marks, names=names, mark_name="claimed by the baseline study"
        )
        if bars
        else "",
        "forest_caption": caption + (" Upright bars: what the baseline study claims." if marks else ""),
        "summary": [
            {
                "n": "–",
                "n_groups": "–",
                **row,
                "name": _named(row),
                "leaky": is_leaky(row["protocol"]),
                "chosen": row is chosen,
            }
            for row in rows
        ],
        "metrics": metrics.METRICS,
        "percent_metrics": PERCENT_METRICS,
        "several_folds": any(row["n_folds"] > 1 for row in rows),
    }


def _curve_blocks(predictions: dict[Family, pd.DataFrame]) -> list[Entry]:
    blocks = []
    for protocol in sorted({key[0] for key in predictions}, key=lambda name: _LEAKY_LAST.get(name, 1)):
        of_protocol = {
            f"{model} ({recipe})": table for (one, model, recipe), table in predictions.items() if one == protocol
        }
        shown = dict(list(of_protocol.items())[:_CURVES_AT_ONCE])
        pairs = {name: (table["label"].to_numpy(), table["probability"].to_numpy()) for name, table in shown.items()}
        blocks.append(
            {
                "heading": f"Curves, {'random split' if is_leaky(protocol) else protocol}",
                "leaky": is_leaky(protocol),
                "roc": charts.roc_curves(pairs),
                "pr": charts.pr_curves(pairs),
                "calibration": charts.calibration_plot(pairs),
                "confusions": [
                    charts.confusion_matrix(metrics.confusion(table["label"], table["probability"]), name)
                    for name, table in of_protocol.items()
                ],
            }
        )
    return blocks


def _claims(results: Entry) -> list[Entry]:
    if results.get("phantom"):  # the claims are about other images
        return []
    found = {family(row): row["pooled"]["accuracy"] for row in _rows(results)}
    kinds = [(protocol, recipe) for recipe in ("baseline", "standard") for protocol in ("random", "grouped")]
    return [
        {**claim, "measured": [found.get((protocol, claim["model"], recipe)) for protocol, recipe in kinds]}
        for claim in results.get("claims") or []
    ]


def _external(results: Entry) -> Entry:
    """Rows by source, columns by network; networks trained on a leaky split only where there is no other."""
    all_rows = [row for row in _rows(results) if row.get("external")]
    rows = [row for row in all_rows if not is_leaky(row["protocol"])] or all_rows
    sources = list(dict.fromkeys(source for row in rows for source in row["external"]))
    lines, bars = [], []
    for source in sources:
        entries = [row["external"].get(source) for row in rows]
        known: Entry = next(entry for entry in entries if entry)
        score = external_score(known)
        both = score == "balanced_accuracy"
        for metric in (score, "roc_auc") if both else (score,):
            cells = [entry[metric] if entry else None for entry in entries]
            lines.append(_external_line(source, known, metric, cells))
        bars += [
            Bar(f"{text.words(source)}{'' if both else f' ({score})'}", as_interval(entry[score]), number)
            for number, entry in enumerate(entries)
            if entry
        ]
    overlap = ", ".join(f"{count} of {source}" for source, count in (results.get("external_overlap") or {}).items())
    names = [_named(row) for row in rows]
    return {
        "external": lines,
        "external_models": names,
        "external_chart": charts.forest(bars, xlabel="balanced accuracy", names=names) if bars else "",
        "few_groups": any(line["few"] for line in lines),
        "overlap": overlap,
    }


def _external_line(source: str, known: Entry, metric: str, cells: Sequence[Entry | None]) -> Entry:
    groups = known.get("n_groups")
    return {
        **{"source": source, "metric": metric, "cells": cells, "percent": metric in PERCENT_METRICS},
        **{"n": known["n"], "n_tumor": known["n_tumor"], "n_groups": groups or "–"},
        "few": groups is not None and groups < _FEW_GROUPS,
    }


def _twins(results: Entry) -> list[Entry]:
    """One line a protocol: the run of its first fold stands for all."""
    lines: dict[str, Entry] = {}
    for run in results.get("runs") or []:
        twins = run.get("twins")
        if twins and run["protocol"] not in lines:
            lines[run["protocol"]] = {
                "protocol": run["protocol"],
                "leaky": is_leaky(run["protocol"]),
                "n": twins.get("test", twins.get("n_test")),
                "shares": [twin_share(twins, kind) for kind in ("same_file", "same_pixels", "same_group")],
            }
    return sorted(lines.values(), key=lambda line: line["leaky"])


def _images(results: Entry, folder: Path) -> Entry:
    totals = total_tiles((results.get("audit") or {}).get("totals") or {})
    try:
        manifest = read_manifest(folder / "manifest.csv")
    except BrainsiftError:
        return {"totals": totals, "distribution": "", "samples": {}, "preprocessing": []}
    usable = manifest[manifest["status"] == "ok"] if "status" in manifest else manifest
    samples = usable.sample(min(6, len(usable)), random_state=1)
    return {
        "totals": totals,
        "distribution": distribution(manifest),
        "samples": galleries.sample_gallery(manifest),
        "preprocessing": galleries.before_after(samples),
    }


def _training(results: Entry, folder: Path) -> list[tuple[str, str]]:
    curves: dict[str, pd.DataFrame] = {}
    for run in sorted(results.get("runs") or [], key=lambda run: _LEAKY_LAST.get(run["protocol"], 1)):
        path = folder / run["folder"] / "curve.csv"
        if run["fold"] == 0 and path.is_file() and len(curves) < _CURVES_AT_ONCE:
            leaky = ", leaky" if is_leaky(run["protocol"]) else ""
            curves[f"{run['model']} ({run_recipe(run)}{leaky})"] = pd.read_csv(path)
    if not curves:
        return []
    captions = {
        "train_loss": "Loss on the training part (smoothed labels and augmentation make it no twin of the next).",
        "validation_loss": "Loss on the validation part; the ring marks the best epoch.",
        "validation_auc": "ROC AUC on the validation part.",
    }
    return [
        (charts.training_curves(having, column=column), caption)
        for column, caption in captions.items()
        if (having := {name: curve for name, curve in curves.items() if column in curve})
    ]


def _facts(results: Entry) -> list[tuple[str, str]]:
    memory = results.get("peak_memory_mb")
    named = {
        "command": results.get("command"),
        "commit": results.get("commit"),
        "time": text.duration(results["seconds"]) if results.get("seconds") else None,
        "peak memory": f"{memory:.0f} MB" if memory and math.isfinite(memory) else None,
        **(results.get("hardware") or {}),
    }
    seeds = (results.get("config") or {}).get("seed")
    if seeds is not None:
        named["seed"] = seeds
    return [(text.words(name), str(fact)) for name, fact in named.items() if fact not in (None, "")]
