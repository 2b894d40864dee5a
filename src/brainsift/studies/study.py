"""The baseline study, and the same without leakage: audit, split, train each network, evaluate, compare, in one go.

Every run has a folder of its own, so a study that was interrupted goes on with the first run that is not finished. All
scores are at the threshold 0.5 of the calibrated probability ("even"), so that networks are compared alike.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from brainsift import __version__
from brainsift.auditing.audit import audit
from brainsift.auditing.findings import Findings
from brainsift.core import environment
from brainsift.core.files import read_json, write_json
from brainsift.core.progress import Report, silent, within
from brainsift.datasets.catalog import collect
from brainsift.datasets.labelling import Labelling, Ruling
from brainsift.datasets.manifest import read_manifest, refuse_conflicts
from brainsift.datasets.protocols import SplitConfig, is_leaky
from brainsift.datasets.split import split, twin_counts
from brainsift.evaluation.compare_runs import compare_runs, summarise_runs
from brainsift.evaluation.evaluate import evaluate_run
from brainsift.studies.study_records import Claim, StudyComparison, StudyRun, StudySummary, families
from brainsift.studies.study_results import StudyResults
from brainsift.studies.study_settings import StudyConfig
from brainsift.training.recipes import TrainConfig, TuneConfig, make_config
from brainsift.training.runs import is_claimed, predict_external
from brainsift.training.searches import Search
from brainsift.training.train import train
from brainsift.training.tune import tune

THRESHOLD = "even"
"""At which all networks of a study are compared: 0.5 of the calibrated probability."""
# Accuracy as the baseline study reports it.
CLAIMS = {"baseline-cnn": 0.9836, "mobilenet": 0.77, "resnet50": 0.52}
HEAVY = ("mobilenet", "resnet50")
"""Networks that take long to train: fewer folds, and after the others."""
_QUICK_IMAGES = 2000
_QUICK_EPOCHS = {"compact": 6, "baseline-cnn": 16, "lite0": 4, "lite0-slim": 4, "mobilenet": 4, "resnet50": 3}


@dataclass(frozen=True)
class _Job:
    """One run of a study."""

    name: str
    split: SplitConfig
    config: TrainConfig


def run_study(
    data: Sequence[str],
    folder: Path,
    config: StudyConfig,
    *,
    external: Sequence[str] = (),
    mapping: Mapping[str, Ruling] | None = None,
    title: str = "Brain tumor study",
    command: str = "",
    phantom: bool = False,
    report: Report = silent,
) -> StudyResults:
    """Does a study, or goes on with it.

    Args:
        data: the collections to train and test on, ``NAME=PATH`` or a folder.
        folder: of the study; a second call with the same folder goes on.
        config: what to do.
        external: collections that are only predicted, never trained on.
        mapping: labels of names that brainsift does not know, such as ``{"sain": 0}``; see `labelling.Labelling`.
        title: of the report.
        command: how to do it again, for the report.
        phantom: whether the images are drawn.
        report: takes the progress.

    Returns:
        What it found, also written to results.json of the folder.

    Raises:
        RunError: the folder holds another study.
        UsageError: settings that no run can have.
    """
    if config.quick:
        config = config.quickened()
    _jobs(config, ())  # settings that no run can have are refused before the audit
    with _stopwatch(folder / "seconds.json"):
        manifest, findings = audited(
            data, external, folder, mapping=mapping, quick=config.quick, seed=config.seed, report=report
        )
        table = manifest[manifest["role"] == "study"].reset_index(drop=True)
        unseen = usable_external(manifest[manifest["role"] == "external"], table)
        searched = [model for model in config.tune_models if model in config.models]
        tuning = [_tuned(table, model, folder, config, report) for model in searched]
        runs = [_run(job, table, unseen, folder, report) for job in _jobs(config, tuning)]
    results = StudyResults(
        title=title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        commit=environment.commit(),
        version=__version__,
        hardware=dict(environment.describe()),
        seconds=read_json(folder / "seconds.json"),
        training_seconds=sum(run.seconds for run in runs),
        peak_memory_mb=environment.peak_memory_mb(),
        phantom=phantom,
        config=asdict(config),
        audit=findings,
        external_overlap=_overlap(manifest),
        runs=tuple(runs),
        summary=tuple(_summaries(runs, folder)),
        comparisons=tuple(_comparisons(runs, folder)),
        tuning=tuple(tuning),
        claims=tuple(Claim(model, accuracy) for model, accuracy in CLAIMS.items()),
    )
    results.write(folder / "results.json")
    return results


@contextmanager
def _stopwatch(path: Path) -> Iterator[None]:
    """Adds the seconds of this start, finished or interrupted, to those of the starts before."""
    started, before = time.monotonic(), read_json(path) if path.exists() else 0.0
    try:
        yield
    finally:
        write_json(path, round(before + time.monotonic() - started, 1))


def usable_external(external: pd.DataFrame, study: pd.DataFrame) -> pd.DataFrame:
    """Returns the external images that can be scored without leakage: none shares a group with a study's image.

    Each picture is there once, and not at all where it has two labels. A source with several contrasts becomes several
    sources, which are scored one by one.
    """
    usable = (external["status"] == "ok") & external["label"].notna() & ~external["group"].isin(set(study["group"]))
    picture, rows = ["pixels_sha256", "channel"], external[usable]
    agreed = rows.groupby(picture)["label"].transform("nunique") == 1
    chosen = rows[agreed].drop_duplicates(picture).reset_index(drop=True)
    several = chosen.groupby("source")["contrast"].transform("nunique") > 1
    chosen["source"] = chosen["source"].where(~several, chosen["source"] + "_" + chosen["contrast"])
    return chosen


def audited(
    data: Sequence[str],
    external: Sequence[str],
    folder: Path,
    *,
    mapping: Mapping[str, Ruling] | None = None,
    quick: bool = False,
    seed: int = 0,
    report: Report = silent,
) -> tuple[pd.DataFrame, Findings]:
    """Audits collections to train on together with those that are only scored, or reads what an earlier start found.

    Args:
        data: the collections to train and test on, ``NAME=PATH`` or a folder.
        external: collections that are only predicted.
        folder: gets study.json, manifest.csv and findings.json.
        mapping: labels of names that brainsift does not know.
        quick: only a sample of ``data``.
        seed: of the sample.
        report: takes the progress.

    Returns:
        The manifest with the column `role`, "study" or "external", and the findings.

    Raises:
        RunError: the folder holds other collections.
    """
    labelling = Labelling(mapping or {})
    made_of = {
        "data": list(data), "external": list(external), "map": dict(labelling.rules), "quick": quick, "seed": seed
    }  # fmt: skip
    if not is_claimed(folder / "study.json", made_of, "a study", {"map": {}}):
        write_json(folder / "study.json", made_of)
    if (folder / "manifest.csv").exists() and (folder / "findings.json").exists():
        return read_manifest(folder / "manifest.csv"), Findings.read(folder / "findings.json")
    table = collect(data, labelling).assign(role="study")
    if quick and len(table) > _QUICK_IMAGES:
        table = table.sample(_QUICK_IMAGES, random_state=seed)
    if external:
        table = pd.concat([table, collect(external, labelling).assign(role="external")], ignore_index=True)
    labelling.refuse_unused()
    refuse_conflicts(table, "DATA")
    result = audit(table, output=folder, report=report)
    return result.manifest, result.findings


def _jobs(config: StudyConfig, tuning: Sequence[Search]) -> list[_Job]:
    """Lists the runs, light networks first."""
    jobs = []
    for protocol in config.protocols:
        for model in config.models:
            folds = config.heavy_folds if model in HEAVY else config.folds
            for fold in range(1 if protocol == "random" or config.quick else folds):
                jobs.append(_job(protocol, model, "standard", fold, config))
        if protocol in config.baseline_protocols:
            jobs += [_job(protocol, model, "baseline", 0, config) for model in CLAIMS if model in config.models]
    jobs += [_job("grouped", found.model, "standard", 0, config, suffix="-tuned", **found.settings) for found in tuning]
    return sorted(jobs, key=lambda job: job.config.model in HEAVY)


def _job(
    protocol: str, model: str, recipe: str, fold: int, config: StudyConfig, *, suffix: str = "", **settings: Any
) -> _Job:
    if config.quick:
        settings["epochs"] = _QUICK_EPOCHS[model]
    if model in HEAVY:
        settings["weights"] = config.mobilenet_weights if model == "mobilenet" else config.resnet50_weights
    settings |= {"seed": config.seed, **_settings(config)}
    name = f"{protocol}-{model}-{recipe}-fold{fold}{suffix}"
    plan = SplitConfig(protocol=protocol, folds=config.folds, fold=fold, seed=config.seed)  # type: ignore[arg-type]
    return _Job(name, plan, make_config(model, recipe, **settings))


def _settings(config: StudyConfig) -> dict[str, Any]:
    """Returns what every training of a study has in common."""
    return {"threads": config.threads, **({"size": config.size} if config.size else {})}


def _run(job: _Job, manifest: pd.DataFrame, unseen: pd.DataFrame, folder: Path, report: Report) -> StudyRun:
    run, cache, config, protocol = folder / "runs" / job.name, folder / "cache", job.config, job.split.protocol
    if config.recipe == "baseline" and config.model != "baseline-cnn":
        # The baseline study had one early-stopping object, which remembered the best loss of the run before: the CNN's.
        before = folder / "runs" / f"{protocol}-baseline-cnn-baseline-fold0" / "curve.csv"
        best = float(pd.read_csv(before)["validation_loss"].min()) if before.exists() else None
        config = replace(config, best_before=best)
    table = split(manifest, job.split)
    origin = {"name": job.name, "protocol": protocol, "fold": job.split.fold}
    train(table, config, run, cache=cache, origin=origin, report=within(report, job.name))
    if len(unseen):
        predict_external(unseen, run, cache=cache)
    details, curve = read_json(run / "environment.json"), pd.read_csv(run / "curve.csv")
    return StudyRun(
        name=job.name,
        protocol=protocol,
        fold=job.split.fold,
        model=config.model,
        recipe=config.recipe,
        tuned=job.name.endswith("-tuned"),
        folder=run.relative_to(folder).as_posix(),
        parameters=details["parameters"],
        pretrained=details["pretrained"],
        precision=details["precision"],
        commit=details["commit"],
        epochs=len(curve),
        seconds=float(curve["seconds"].sum()),
        leaky=is_leaky(protocol),
        twins=twin_counts(table),
        results=evaluate_run(run, threshold=THRESHOLD),
    )


def _tuned(manifest: pd.DataFrame, model: str, folder: Path, config: StudyConfig, report: Report) -> Search:
    place = folder / "tune" / model
    if (place / "tuning.json").exists():
        return Search.read(place / "tuning.json")
    table = split(manifest, SplitConfig(folds=config.folds, seed=config.seed))
    base = make_config(model, **_settings(config))
    settings = TuneConfig(trials=config.trials, trial_epochs=config.trial_epochs, seed=config.seed)
    report = within(report, f"tune {model}")
    return tune(table, base, settings, place, cache=folder / "cache", report=report)


def _summaries(runs: Sequence[StudyRun], folder: Path) -> list[StudySummary]:
    found = []
    for (protocol, model, recipe), family in families(runs).items():
        joined = summarise_runs([folder / run.folder for run in family], threshold=THRESHOLD)
        leaky = is_leaky(protocol)
        found.append(StudySummary(**vars(joined), protocol=protocol, model=model, recipe=recipe, leaky=leaky))
    return found


def _comparisons(runs: Sequence[StudyRun], folder: Path) -> list[StudyComparison]:
    """Compares `compact` with each other network, and tuned with untuned settings, on the folds that both have."""
    by_family, found = families(runs), []
    for (protocol, model, recipe), family in by_family.items():
        rival = "baseline-cnn" if model == "compact" else "compact"
        other = by_family.get((protocol, model if recipe == "standard, tuned" else rival, "standard"), [])
        if recipe == "baseline" or (model == "compact" and recipe == "standard"):
            continue
        shared = {run.fold for run in family} & {run.fold for run in other}
        if not shared:
            continue
        mine, theirs = ([folder / run.folder for run in side if run.fold in shared] for side in (family, other))
        compared = compare_runs(mine, theirs, threshold=THRESHOLD).comparisons
        a, b = f"{model} ({recipe})", f"{other[0].model} (standard)"
        found += [StudyComparison(**vars(one), protocol=protocol, a=a, b=b) for one in compared]
    return found


def _overlap(manifest: pd.DataFrame) -> dict[str, int]:
    """Counts the external images, by source, that were left out because they share a group with the study's."""
    external = manifest[manifest["role"] == "external"]
    shared = external[external["group"].isin(set(manifest.loc[manifest["role"] == "study", "group"]))]
    return {str(source): int(count) for source, count in shared.groupby("source").size().items()}
