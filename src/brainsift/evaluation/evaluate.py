"""Predictions and truth -> scores with intervals: of one run, or of predictions from elsewhere.

The temperature and the thresholds come from the validation set alone. Unless another one is requested, images are
decided at the threshold that `predict` would use: `balanced`. The test set and the external images are read here and
nowhere else.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, overload

import pandas as pd

from brainsift.core.errors import RunError, UsageError
from brainsift.core.files import read_json
from brainsift.datasets.protocols import is_leaky
from brainsift.evaluation.calibrated_run import calibrated_run
from brainsift.evaluation.evaluate_predictions import evaluate_predictions
from brainsift.evaluation.run_results import PredictionResults, RunResults
from brainsift.evaluation.set_scores import score_set, scores_with_sources
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Prediction

_FROM_CONFIG = ("name", "model", "recipe", "protocol", "fold", "seed")


def evaluate_run(
    run: str | Path,
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> RunResults:
    """Scores a run and writes its results.json; nothing else in the folder changes.

    Args:
        run: folder with predictions.csv and config.json.
        threshold: a name such as "screening" or "even" (0.5), a number, or None: `balanced` of the run's validation
            set, which `predict` uses with the bundle made of this run.
        sensitivity: instead of a threshold: the one that reached it on the validation set.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        RunError: a file is missing, or the predictions break their contract.
        UsageError: a threshold or sensitivity that the validation set does not know.

    Example:
        >>> import brainsift as bs
        >>> results = bs.evaluate("run")  # doctest: +SKIP
        >>> results.test.scores["roc_auc"]  # doctest: +SKIP
        Interval(value=0.985, low=0.978, high=0.991)
    """
    folder = Path(run)
    path = folder / "config.json"
    if not path.is_file():
        raise RunError(path, "no such file", "Point to a folder that `brainsift train` wrote.")
    config = read_json(path)
    calibrated = calibrated_run(folder, threshold=threshold, sensitivity=sensitivity)
    test, external = calibrated.rows("test"), calibrated.rows("external")
    seen = calibrated.table.loc[calibrated.table["part"].isin(["train", "validation"]), "group"]
    n_leaked = int(test["group"].isin(seen).sum())
    known = {key: config.get(key) if isinstance(config, dict) else None for key in _FROM_CONFIG}
    results = RunResults(
        **known,
        leaky=is_leaky(known["protocol"]) or n_leaked > 0,
        n_leaked=n_leaked,
        temperature=calibrated.temperature,
        threshold=calibrated.point.threshold,
        threshold_name=calibrated.point.name,
        thresholds=calibrated.thresholds,
        validation=scores_with_sources(calibrated.rows("validation"), n_resamples, seed),
        test=scores_with_sources(test, n_resamples, seed),
        external={str(name): score_set(rows, n_resamples, seed) for name, rows in external.groupby("source")},
    )
    results.write(folder / "results.json")
    return results


@overload
def evaluate(
    subject: str | Path,
    manifest: None = None,
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
) -> RunResults: ...


@overload
def evaluate(
    subject: pd.DataFrame | str | Path | Iterable[Prediction],
    manifest: pd.DataFrame | str | Path,
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
    bundle: Bundle | None = None,
) -> PredictionResults: ...


def evaluate(
    subject: pd.DataFrame | str | Path | Iterable[Prediction],
    manifest: pd.DataFrame | str | Path | None = None,
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
    bundle: Bundle | None = None,
) -> RunResults | PredictionResults:
    """Scores a run on its own test set, or a table of predictions against a manifest, with 95 % intervals.

    Args:
        subject: a run folder; or with a manifest, predictions: what a `Predictor` returned, a table or a CSV file with
            path and probability.
        manifest: the truth for predictions: a table or a CSV file with path and label.
        threshold: a name ("balanced", "screening", "confirm", "even") or a number from which on an image counts as
            "tumor"; None for what `predict` uses. See `evaluate_run` and `evaluate_predictions`.
        sensitivity: instead of a threshold: the one that reached it on validation data.
        bundle: whose thresholds are meant, for predictions; the package's own by default.

    Returns:
        `RunResults`, also written to results.json of the run; or `PredictionResults`.

    Raises:
        RunError: the run folder is not complete.
        UsageError: a threshold that is not known, or predictions that break their contract.
        ManifestError: no prediction matches an image with a label.

    Example:
        >>> import brainsift as bs
        >>> bs.evaluate("run").test.scores["accuracy"]  # doctest: +SKIP
        Interval(value=0.956, low=0.936, high=0.973)
        >>> bs.evaluate("predictions.csv", "manifest.csv", threshold=0.5).scores["sensitivity"]  # doctest: +SKIP
        Interval(value=0.944, low=0.911, high=0.968)
    """
    wanted: Any = {"threshold": threshold, "sensitivity": sensitivity}
    if manifest is not None:
        return evaluate_predictions(subject, manifest, bundle=bundle, **wanted)
    if not isinstance(subject, str | Path) or bundle is not None:
        raise UsageError("manifest", "is needed with predictions: it holds their truth", "Give a table or CSV file.")
    return evaluate_run(subject, **wanted)
