"""Site calibration: a bundle with temperature and thresholds from a small labeled set, and what that gains.

The network stays. With 30 to 200 images little can be learned, so the figures say how sure the gain is: the set is
scored by the bundle as it was, and cross-fitted, where each group is scored by what was fitted to the other groups.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from brainsift.core.errors import ManifestError, UsageError
from brainsift.datasets.catalog import collect
from brainsift.datasets.labelling import Ruling
from brainsift.images.decode import decode
from brainsift.inference.bundle import SHIPPED, Bundle, load_bundle, write_bundle
from brainsift.inference.decision import log_odds
from brainsift.inference.predictor import Predictor
from brainsift.stats import calibration, metrics
from brainsift.stats.intervals import Interval

_FOLDS = 5
_LEAST = 10  # images of each class
_COMPARED = ("brier_loss", "balanced_accuracy", "sensitivity", "specificity")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SiteCases:
    """A site's labeled images, scored by a bundle.

    Attributes:
        labels: float64 (n,), 1 or 0.
        logits: float64 (n,), calibrated by the bundle.
        groups: (n,) patients, or images where patients are not known.
        patients_known: whether every group is a patient; else no share of errors can be promised.
        left_out: paths of images that the bundle rejects or cannot read, and why.
    """

    labels: Floats
    logits: Floats
    groups: npt.NDArray[np.str_]
    patients_known: bool = False
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class SiteReport:
    """What was gained by calibrating at a site.

    Attributes:
        n: number of images that were scored.
        n_tumor: number of those with a tumor.
        n_groups: number of patients, or of images where patients are not known.
        temperature: (before, after).
        threshold: `balanced`, (before, after).
        promises: largest shares of wrong decisions that can be promised.
        scores: by metric, its value and interval (before, after), after cross-fitting.
        gains: by metric, the difference after - before with its interval and p-value.
        left_out: paths of images that the bundle rejects or cannot read, and why.
    """

    n: int
    n_tumor: int
    n_groups: int
    temperature: tuple[float, float]
    threshold: tuple[float, float]
    promises: tuple[str, ...]
    scores: dict[str, tuple[Interval, Interval]]
    gains: dict[str, metrics.PairedDifference]
    left_out: tuple[tuple[str, str], ...] = ()


def calibrate(
    data: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    bundle: Bundle | str | Path = SHIPPED,
    mapping: Mapping[str, Ruling] | None = None,
    seed: int = 0,
) -> SiteReport:
    """Adapts a bundle to a site: writes a bundle whose temperature and thresholds fit its labeled images.

    Args:
        data: folders, CSV files (path, label, patient) or ``NAME=PATH``, with 30 to 200 labeled images.
        output: folder of the new bundle.
        bundle: the one to adapt, or its folder; it stays as it is.
        mapping: labels of names that brainsift does not know, such as ``{"sain": 0}``; see `labelling.Labelling`.
        seed: of the folds and the bootstrap.

    Returns:
        What was gained, and how sure that is.

    Raises:
        ManifestError: too few images of a class, or all of one patient.
        SourceError: data that are missing or lack their layout.
        UsageError: the folder is that of the bundle, or the data hold a file of several slices.

    >>> calibrate("hospital.csv", "site-bundle").gains["brier_loss"]  # doctest: +SKIP
    """
    bundle = bundle if isinstance(bundle, Bundle) else load_bundle(Path(bundle))
    table = collect([str(one) for one in ([data] if isinstance(data, str | Path) else data)], mapping)
    return adapt(bundle, read_cases(bundle, table), Path(output), seed=seed)


def read_cases(bundle: Bundle, table: pd.DataFrame) -> SiteCases:
    """Scores a site's images with a bundle.

    Args:
        bundle: the bundle.
        table: path, channel, label (1 or 0; others are left out), and patient where it is known ("" otherwise).

    Raises:
        UsageError: a file of several slices; give its slices instead.
    """
    # A copy of a row would count twice, and could stand in two folds.
    predictor, rows = Predictor(bundle), table[table["label"].notna()].drop_duplicates(["path", "channel"])
    read, left_out = [], []
    for row in rows.itertuples():
        one = predictor.score(decode(row.path).grey(row.channel) if row.channel else row.path)
        if one.status == "ok":
            read.append((row.label, one.logit, str(row.patient)))
        else:
            left_out.append((str(row.path), one.detail))
    labels, logits, patients = zip(*read, strict=True) if read else ((), (), ())
    alone = (f"image {place}" for place in range(len(read)))
    return SiteCases(
        labels=np.array(labels, dtype=np.float64),
        logits=np.array(logits, dtype=np.float64),
        groups=np.array([patient or image for patient, image in zip(patients, alone, strict=True)], dtype=str),
        patients_known=bool(read) and all(patients),
        left_out=tuple(left_out),
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
        ManifestError: too few images of a class, or all of one patient.
        UsageError: the folder is that of the bundle.
    """
    if folder.resolve() == bundle.folder.resolve():
        raise UsageError("output", f"{folder} is the bundle to adapt, which stays as it is", "Name another folder.")
    labels, logits = cases.labels, cases.logits
    n_tumor = int(labels.sum())
    if min(n_tumor, len(labels) - n_tumor) < _LEAST:
        rule = f"has {n_tumor} readable images with a tumor and {len(labels) - n_tumor} without"
        raise ManifestError("data", rule, f"Give at least {_LEAST} of each, better 100 in all.")
    if len(np.unique(cases.groups)) < 2:
        raise ManifestError("data", f"holds images of one patient, {cases.groups[0]!r}", "Give those of others too.")
    scale = calibration.fit_temperature(logits, labels)
    probabilities = calibration.apply(logits, scale)
    thresholds = calibration.thresholds(labels, probabilities) | {"even": 0.5}
    if "confirm" in bundle.thresholds:  # so few images cannot show that less is enough
        before = calibration.apply([log_odds(bundle.thresholds["confirm"])], scale)
        thresholds["confirm"] = max(thresholds["confirm"], float(before[0]))
    volumes = bundle.volumes
    adapted = replace(
        bundle,
        folder=folder,
        temperature=bundle.temperature * scale,
        thresholds=thresholds,
        sensitivities=calibration.sensitivities(labels, probabilities),
        margins=calibration.margins(labels, logits / scale, cases.groups) if cases.patients_known else {},
        volumes=volumes and replace(volumes, stretch=volumes.stretch * scale),  # slices say nothing on whole volumes
    )
    report = _report(bundle, adapted, cases, seed)
    _write(bundle, adapted, report)
    return report


def _fit(logits: Floats, labels: Floats) -> tuple[float, float]:
    scale = calibration.fit_temperature(logits, labels)
    return scale, calibration.thresholds(labels, calibration.apply(logits, scale))["balanced"]


def _report(before: Bundle, after: Bundle, cases: SiteCases, seed: int) -> SiteReport:
    labels, logits, groups = cases.labels, cases.logits, cases.groups
    fitted, shifted = np.zeros_like(logits), np.zeros_like(logits)
    folds = StratifiedGroupKFold(min(_FOLDS, len(np.unique(groups))), shuffle=True, random_state=seed)
    for taught, held in folds.split(logits, labels, groups):
        scale, threshold = _fit(logits[taught], labels[taught])
        fitted[held] = logits[held] / scale
        shifted[held] = fitted[held] - log_odds(threshold)
    pairs = {
        "probability": (calibration.apply(logits, 1.0), calibration.apply(fitted, 1.0)),
        "decision": (
            calibration.apply(logits - log_odds(before.thresholds["balanced"]), 1.0),
            calibration.apply(shifted, 1.0),
        ),
    }
    scores, gains = {}, {}
    for name in _COMPARED:
        old, new = pairs["probability" if name == "brier_loss" else "decision"]
        first, second = (metrics.score_intervals(labels, one, groups, seed=seed)[name] for one in (old, new))
        scores[name] = first, second
        gains[name] = metrics.paired_bootstrap(labels, new, old, groups, name, seed=seed)
    return SiteReport(
        n=len(labels),
        n_tumor=int(labels.sum()),
        n_groups=len(np.unique(groups)),
        temperature=(before.temperature, after.temperature),
        threshold=(before.thresholds["balanced"], after.thresholds["balanced"]),
        promises=tuple(after.margins),
        scores=scores,
        gains=gains,
        left_out=cases.left_out,
    )


def _write(before: Bundle, after: Bundle, report: SiteReport) -> None:
    after.folder.mkdir(parents=True, exist_ok=True)
    for part in (before.scope, before.kinds_model):
        (after.folder / part.name).unlink(missing_ok=True)
    for part in (before.network, before.scope, before.kinds_model):
        if part.is_file():
            shutil.copyfile(part, after.folder / part.name)
    scores = {name: [one.to_json() for one in both] for name, both in report.scores.items()}
    gains = {
        name: {**gain.difference.to_json(), "p_value": gain.p_value if np.isfinite(gain.p_value) else None}
        for name, gain in report.gains.items()
    }
    site = {"n": report.n, "n_tumor": report.n_tumor, "scores": scores, "gains": gains}
    write_bundle(replace(after, provenance={**before.provenance, "site": site}))
    load_bundle(after.folder)
