"""Cross-fitting: every labelled image teaches, and is scored by a network that has not seen its group.

A release trains on about two thirds of the images and never sees the rest. Here the images are divided into folds, and
a network is trained on all folds but one, and scored on that one. So all images have an honest figure, and together the
networks have seen all of them. Other networks leave out whole sources: users have scanners that no training image comes
from, so temperature and thresholds of unseen scanners are fitted to the logits of sources left out.

fold-K/, without-SOURCE/     run folders
out_of_fold.csv              one row per image, with the logit of the network that did not train on its fold
left_out.csv                 the same for sources left out
cross_fit.json               temperature, thresholds and scores of both
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
from filelock import FileLock

from brainsift.core.errors import UsageError
from brainsift.core.files import write_json
from brainsift.core.progress import Report, silent
from brainsift.datasets.labelling import Ruling
from brainsift.datasets.manifest import read_manifest, write_manifest
from brainsift.datasets.protocols import SplitConfig
from brainsift.datasets.split import split
from brainsift.evaluation.evaluate import score_set
from brainsift.stats import calibration
from brainsift.stats.scores import SetScores
from brainsift.studies.study import audited
from brainsift.training.devices import is_first_process
from brainsift.training.recipes import RELEASE_MODEL, TrainConfig, make_config
from brainsift.training.train import train


@dataclass(frozen=True)
class PooledScores:
    """What networks say together about images that they have not seen.

    Attributes:
        runs: the folders whose predictions are pooled.
        temperature: fitted to the pooled logits.
        thresholds: chosen on them, by name.
        scores: at the threshold `balanced`; by source in ``scores.sources``.
    """

    runs: tuple[str, ...]
    temperature: float
    thresholds: dict[str, float]
    scores: SetScores


def cross_fit(
    data: Sequence[str],
    folder: Path,
    config: TrainConfig | None = None,
    *,
    folds: int = 5,
    fold: int | None = None,
    hold_out: Sequence[str] = (),
    external: Sequence[str] = (),
    mapping: Mapping[str, Ruling] | None = None,
    report: Report = silent,
) -> dict[str, PooledScores] | None:
    """Trains the network of one fold, or one without some sources, and pools what is there; or goes on with it.

    Nothing is chosen on the images left out: the number of epochs is that of the settings, and the last weights count.

    Args:
        data: the collections; see `catalog.collect`.
        folder: the same for all folds; gets the files that the module names.
        config: the settings of the training; None for the recipe "release".
        folds: number of folds.
        fold: the fold to leave out, 0 to folds - 1; None with ``hold_out``.
        hold_out: the sources to leave out instead of a fold.
        external: collections that are audited with the others, so that a release can use the same folder; not scored.
        mapping: labels of names that brainsift does not know; see `labelling.Labelling`.
        report: takes the progress.

    Returns:
        "out_of_fold", once all folds are trained, and "left_out", of the sources left out so far; None in all but the
        first of several processes.

    Raises:
        UsageError: neither a fold nor a source to leave out, or both.
        RunError: the folder holds another run.
        SourceError, ManifestError: a collection cannot be used.

    >>> cross_fit(["br35h=data/br35h"], Path("crossfit"), fold=0)  # doctest: +SKIP
    """
    if (fold is None) == (not hold_out):
        raise UsageError("fold", "needs a fold, or sources to hold out, and not both", "Write --fold 0, for example.")
    config = config or make_config(RELEASE_MODEL, "release")
    config = replace(config, keep_best=False, patience=config.epochs)
    plan = SplitConfig(protocol="source-out", hold_out=tuple(hold_out), seed=config.seed) if fold is None else (
        SplitConfig(folds=folds, fold=fold, seed=config.seed)
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # of several processes the first audits, the others find it done
        manifest, _ = audited(data, external, folder, mapping=mapping, report=report)
    table = split(manifest[manifest["role"] == "study"].reset_index(drop=True), plan)
    name = f"fold-{fold}-of-{folds}"
    if fold is None:
        name = f"without-{'-'.join(sorted(hold_out))}"
    else:  # nothing is chosen on it, so no validation set of its own is needed
        table["part"] = table["part"].replace({"validation": "train"}).replace({"test": "validation"})
    origin = {"name": name, "protocol": plan.protocol, "fold": plan.fold}
    train(table, config, folder / name, cache=folder / "cache", origin=origin, report=report)
    if not is_first_process():
        return None
    found = {}
    of_folds = [folder / f"fold-{number}-of-{folds}" for number in range(folds)]
    if all(map(_is_finished, of_folds)):
        found["out_of_fold"] = _pool(of_folds, "validation", folder / "out_of_fold.csv")
    if left_out := sorted(filter(_is_finished, folder.glob("without-*"))):
        found["left_out"] = _pool(left_out, "test", folder / "left_out.csv")
    write_json(folder / "cross_fit.json", {name: asdict(scores) for name, scores in found.items()})
    return found


def _is_finished(run: Path) -> bool:
    return (run / "predictions.csv").is_file()


def _pool(runs: Sequence[Path], part: str, path: Path) -> PooledScores:
    """Writes the predictions of one set of each run as one table, calibrated together, and scores it."""
    tables = [read_manifest(run / "predictions.csv").assign(run=run.name) for run in runs]
    table = pd.concat([rows[rows["part"] == part] for rows in tables], ignore_index=True)
    table["logit"] = pd.to_numeric(table["logit"])
    temperature = calibration.fit_temperature(table["logit"], table["label"])
    table["probability"] = calibration.apply(table["logit"], temperature)
    thresholds = calibration.thresholds(table["label"], table["probability"])
    write_manifest(table, path)
    table["threshold"] = thresholds["balanced"]
    sources = {f"{source} {contrast}".strip(): score_set(rows)
               for (source, contrast), rows in table.groupby(["source", "contrast"])}  # fmt: skip
    return PooledScores(tuple(run.name for run in runs), temperature, thresholds, score_set(table, sources=sources))
