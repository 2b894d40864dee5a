"""A bundle adapted to a site: temperature and threshold from a small labelled set, and what that gains.

The network stays. With 30 to 200 images little can be learned, so the figures say how sure the gain is: the set is
scored as it came, and cross-fitted, where each group is scored by what the other groups taught.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from brainsift import calibrate, metrics
from brainsift.bundle import Bundle, load_bundle, write_bundle
from brainsift.errors import ManifestError
from brainsift.predict import Predictor

_FOLDS = 5
_LEAST = 10  # images of each class
_COMPARED = ("brier_loss", "balanced_accuracy", "sensitivity", "specificity")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SiteCases:
    """A site's labelled images, as a bundle answers for them.

    Attributes:
        labels: float64 (n,), 1 or 0.
        logits: float64 (n,), calibrated by the bundle.
        groups: (n,) patients, or images where patients are not known.
        unread: paths that could not be read.
    """

    labels: Floats
    logits: Floats
    groups: npt.NDArray[np.str_]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class SiteReport:
    """What a site's cases say.

    Attributes:
        n: images that were scored.
        n_tumor: of them with a tumor.
        n_groups: patients, or images where patients are not known.
        temperature: (before, after).
        threshold: `balanced`, (before, after).
        scores: by metric, its value and interval (before, after), after cross-fitting.
        gains: by metric, the difference after - before with its interval and p-value.
    """

    n: int
    n_tumor: int
    n_groups: int
    temperature: tuple[float, float]
    threshold: tuple[float, float]
    scores: dict[str, tuple[dict[str, float], dict[str, float]]]
    gains: dict[str, dict[str, float]]


def read_cases(bundle: Bundle, table: pd.DataFrame) -> SiteCases:
    """Asks a bundle about a site's images.

    Args:
        bundle: the bundle.
        table: path, label (1 or 0; others are left out), and patient where it is known ("" otherwise).
    """
    rows = table[table["label"].notna()].reset_index(drop=True)
    answers = list(Predictor(bundle).predict(rows["path"]))
    read = np.array([answer.probability is not None for answer in answers], dtype=bool)
    p = np.clip([answer.probability for answer in answers if answer.probability is not None], 1e-6, 1 - 1e-6)
    seen = rows[read]
    return SiteCases(
        labels=seen["label"].to_numpy(dtype=np.float64),
        logits=np.log(p / (1 - p)),
        groups=seen["patient"].where(seen["patient"] != "", seen["path"]).to_numpy(dtype=str),
        unread=tuple(str(path) for path in rows["path"][~read]),
    )


def adapt(bundle: Bundle, cases: SiteCases, folder: Path, *, seed: int = 0) -> SiteReport:
    """Writes a bundle whose temperature and thresholds fit a site.

    Args:
        bundle: the one to adapt; it stays as it is.
        cases: from `read_cases`.
        folder: of the new bundle.
        seed: of the folds and the bootstrap.

    Returns:
        What was gained, and how sure that is.

    Raises:
        ManifestError: too few images of a class.
    """
    labels, logits = cases.labels, cases.logits
    n_tumor = int(labels.sum())
    if min(n_tumor, len(labels) - n_tumor) < _LEAST:
        rule = f"has {n_tumor} readable images with a tumor and {len(labels) - n_tumor} without"
        raise ManifestError("data", rule, f"Give at least {_LEAST} of each, better 100 in all.")
    scale, threshold = _fit(logits, labels)
    probabilities = calibrate.apply(logits, scale)
    adapted = replace(
        bundle,
        folder=folder,
        temperature=bundle.temperature * scale,
        thresholds=calibrate.thresholds(labels, probabilities) | {"even": 0.5},
        sensitivities=calibrate.sensitivities(labels, probabilities),
        margins=calibrate.margins(labels, logits / scale, cases.groups, threshold),
    )
    report = _report(bundle, adapted, cases, seed)
    _write(bundle, adapted, report)
    return report


def _fit(logits: Floats, labels: Floats) -> tuple[float, float]:
    scale = calibrate.fit_temperature(logits, labels)
    return scale, calibrate.thresholds(labels, calibrate.apply(logits, scale))["balanced"]


def _report(before: Bundle, after: Bundle, cases: SiteCases, seed: int) -> SiteReport:
    labels, logits, groups = cases.labels, cases.logits, cases.groups
    fitted, shifted = np.zeros_like(logits), np.zeros_like(logits)
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for taught, held in folds.split(logits, labels, groups):
        scale, threshold = _fit(logits[taught], labels[taught])
        fitted[held] = logits[held] / scale
        shifted[held] = fitted[held] - _log_odds(threshold)
    pairs = {
        "probability": (calibrate.apply(logits, 1.0), calibrate.apply(fitted, 1.0)),
        "decision": (
            calibrate.apply(logits - _log_odds(before.thresholds["balanced"]), 1.0),
            calibrate.apply(shifted, 1.0),
        ),
    }
    scores, gains = {}, {}
    for name in _COMPARED:
        old, new = pairs["probability" if name == "brier_loss" else "decision"]
        both = (metrics.score_intervals(labels, one, groups, seed=seed)[name].to_dict() for one in (old, new))
        scores[name] = tuple(both)
        gain = metrics.paired_bootstrap(labels, new, old, groups, name, seed=seed)
        gains[name] = {**gain.difference.to_dict(), "p_value": gain.p_value}
    return SiteReport(
        n=len(labels),
        n_tumor=int(labels.sum()),
        n_groups=len(np.unique(groups)),
        temperature=(before.temperature, after.temperature),
        threshold=(before.thresholds["balanced"], after.thresholds["balanced"]),
        scores=scores,  # type: ignore[arg-type]
        gains=gains,
    )


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, 1e-9), 1 - 1e-9)
    return float(np.log(clipped / (1 - clipped)))


def _write(before: Bundle, after: Bundle, report: SiteReport) -> None:
    after.folder.mkdir(parents=True, exist_ok=True)
    for part in (before.network, before.scope):
        if part.is_file():
            shutil.copyfile(part, after.folder / part.name)
    site = {"n": report.n, "n_tumor": report.n_tumor, "scores": report.scores, "gains": report.gains}
    write_bundle(replace(after, provenance={**before.provenance, "site": site}))
    load_bundle(after.folder)
