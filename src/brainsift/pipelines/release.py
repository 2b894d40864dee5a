"""The network that ships, from raw folders to a model bundle: audit, split, train, evaluate, export."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from filelock import FileLock

from brainsift.core.progress import Progress, Report, silent
from brainsift.datasets.labelling import Ruling
from brainsift.datasets.protocols import SplitConfig
from brainsift.datasets.split import split
from brainsift.deployment.ensemble import join_runs
from brainsift.deployment.export import export_run
from brainsift.deployment.quantization import quantize_run
from brainsift.deployment.slimming import check_prunable, prune_run
from brainsift.evaluation.evaluate import evaluate_run
from brainsift.evaluation.localization import explain_run
from brainsift.evaluation.run_results import RunResults
from brainsift.inference.bundle import Bundle
from brainsift.studies.study import audited, usable_external
from brainsift.training.devices import is_first_process
from brainsift.training.recipes import RELEASE_MODEL, TrainConfig, make_config
from brainsift.training.runs import load_run, predict_external
from brainsift.training.train import train


def release(
    data: Sequence[str],
    folder: Path,
    config: TrainConfig | None = None,
    *,
    external: Sequence[str] = (),
    mapping: Mapping[str, Ruling] | None = None,
    test_patients: Sequence[str] = (),
    prune: bool = False,
    int8: bool = False,
    refit: bool = False,
    report: Report = silent,
) -> tuple[Bundle, RunResults] | None:
    """Makes a release, or goes on with it.

    The split keeps groups and patients whole. The test set and the external images are scored once, at the end, and
    choose nothing.

    Args:
        data: the collections to train and test on; see `catalog.collect`.
        folder: of the release; a second call with the same folder goes on. Gets the folders run, cache and bundle, and
            run-all with ``refit``.
        config: the settings of the training; None for the recipe "release".
        external: collections that are only scored, never trained on.
        mapping: labels of names that brainsift does not know; see `labelling.Labelling`.
        test_patients: ``SOURCE=N``; see `SplitConfig`.
        prune: see `scored`.
        int8: see `scored`.
        refit: once the test set is scored, train a second network on it too, in twice the time: what is exported is
            that, with the first network's figures of the test set. The validation set calibrates both.
        report: takes the progress.

    Returns:
        The bundle and the scores of the run; None in all but the first of several processes.

    Raises:
        RunError: the folder holds another release, or the network cannot be pruned.
        SourceError, ManifestError: a collection cannot be used.

    >>> bundle, results = release(["br35h=data/br35h"], Path("release"))  # doctest: +SKIP
    """
    config = config or make_config(RELEASE_MODEL, "release")
    run, cache = folder / "run", folder / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # of several processes the first audits, the others find it done
        manifest, _ = audited(data, external, folder, mapping=mapping, report=report)
    plan = SplitConfig(seed=config.seed, test_patients=tuple(test_patients))
    table = split(manifest[manifest["role"] == "study"].reset_index(drop=True), plan)
    if prune:
        check_prunable(run, config.model, table)
    origin = {"name": folder.resolve().name, "protocol": plan.protocol, "fold": plan.fold}
    train(table, config, run, cache=cache, origin=origin, report=report)
    with_all = table.assign(part=table["part"].replace({"test": "train"}))
    if refit:
        train(with_all, config, folder / "run-all", cache=cache, origin=origin, report=report)
    if not is_first_process():
        return None
    unseen = usable_external(manifest[manifest["role"] == "external"], table)
    if not refit:
        run, results = scored(table, unseen, run, cache=cache, prune=prune, int8=int8, report=report)
        return export_run(run, folder / "bundle", cache=cache), results
    measured, results = scored(table, unseen.iloc[:0], run, cache=cache, prune=prune, int8=int8, report=report)
    run, of_external = scored(with_all, unseen, folder / "run-all", cache=cache, prune=prune, int8=int8, report=report)
    bundle = export_run(run, folder / "bundle", cache=cache, measured=measured)
    return bundle, replace(results, external=of_external.external)


def scored(
    table: pd.DataFrame,
    unseen: pd.DataFrame,
    run: Path,
    *,
    cache: Path,
    prune: bool = False,
    average_with: Sequence[str | Path] = (),
    int8: bool = False,
    report: Report = silent,
) -> tuple[Path, RunResults]:
    """Scores a trained network on test set and external images, once.

    Args:
        table: that it was trained on, with the column `part`.
        unseen: external images; may be empty.
        run: folder of the run.
        cache: of preprocessed pixels.
        prune: turn a `lite0` into `lite0-slim` first, in a folder whose name ends in -slim: what is scored is that.
        average_with: bundles; what is scored is the mean of their networks and the trained one, in a folder beside the
            run whose name ends in -mean.
        int8: turn the network into INT8, in a folder whose name ends in -int8: what is scored is that.
        report: takes the progress.

    Returns:
        The run that was scored, and its scores.
    """
    if prune:
        run = prune_run(run, run.with_name(f"{run.name}-slim"), cache=cache)
    if average_with:
        run = join_runs([run], run.with_name(f"{run.name}-mean"), bundles=average_with, cache=cache)
    if int8:
        run = quantize_run(run, run.with_name(f"{run.name}-int8"), cache=cache)
    if len(unseen):
        predict_external(unseen, run, cache=cache)
    report(Progress("scoring", 0, 1))
    _, config = load_run(run)
    seen = pd.concat([table[table["part"] == "test"], unseen.assign(part="external")], ignore_index=True)
    if config.preprocessing == "standard" and (seen["mask"] != "").any():
        explain_run(run, seen, cache=cache)
    return run, evaluate_run(run)
