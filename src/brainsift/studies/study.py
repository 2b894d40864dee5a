"""The baseline study and its honest twin: audit, split, train each network, evaluate, compare, in one go.

Every run has a folder of its own, so a study that was interrupted goes on with the first run that is not finished.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from brainsift import __version__
from brainsift.auditing.audit import AuditConfig, audit, write_audit
from brainsift.core import environment
from brainsift.core.errors import UsageError
from brainsift.core.files import read_json, write_json
from brainsift.core.progress import Report, silent, within
from brainsift.datasets.catalog import collect
from brainsift.datasets.manifest import read_manifest
from brainsift.datasets.protocols import LEAKY, SplitConfig
from brainsift.datasets.split import check, split, twin_counts
from brainsift.evaluation.evaluate import compare_runs, evaluate_run, summarise_runs, without_nan
from brainsift.training.recipes import MODELS, TrainConfig, make_config
from brainsift.training.runs import is_claimed, predict_external
from brainsift.training.train import train
from brainsift.training.tune import TuneConfig, read_tuning, tune

SCHEMA = 1
# Accuracy as the baseline study reports it.
CLAIMS = {"baseline-cnn": 0.9836, "mobilenet": 0.77, "resnet50": 0.52}
_QUICK_IMAGES = 2000
_QUICK_EPOCHS = {"compact": 6, "baseline-cnn": 16, "lite0": 4, "mobilenet": 4, "resnet50": 3}


@dataclass(frozen=True)
class StudyConfig:
    """What a study does.

    Attributes:
        models: the networks to compare.
        protocols: random (the baseline study's, leaky), grouped, or both.
        folds: folds of protocol grouped for the light networks.
        heavy_folds: folds of protocol grouped for mobilenet and resnet50.
        baseline_protocols: where to train also as the baseline study did, mistakes included.
        tune_models: networks, of those compared, whose learning rate and dropout are searched on the validation part
            of the first fold.
        trials: of each search.
        trial_epochs: epochs of each trial.
        mobilenet_weights: ImageNet weights: auto (hub), none, or a file.
        resnet50_weights: ImageNet weights: auto (hub), none, or a file.
        size: side of the input, pixels; 0 for each recipe's own.
        quick: a taste in minutes: a sample of the images, small inputs, few epochs, one fold, no search.
        seed: of all chance.
        threads: of the CPU; 0 for torch's own choice.

    Raises:
        UsageError: a network that there is not, or a protocol that is none of a study's.
    """

    models: tuple[str, ...] = ("baseline-cnn", "compact", "mobilenet", "resnet50")
    protocols: tuple[str, ...] = ("random", "grouped")
    folds: int = 5
    heavy_folds: int = 1
    baseline_protocols: tuple[str, ...] = ("random", "grouped")
    tune_models: tuple[str, ...] = ("baseline-cnn", "compact")
    trials: int = 10
    trial_epochs: int = 4
    mobilenet_weights: str = "auto"
    resnet50_weights: str = "auto"
    size: int = 0
    quick: bool = False
    seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        _check_names("models", self.models, MODELS)
        _check_names("tune_models", self.tune_models, MODELS)
        _check_names("protocols", self.protocols, ("random", "grouped"))

    def quickened(self) -> "StudyConfig":
        """Returns the settings of a quick study."""
        return replace(self, quick=True, size=64, folds=5, heavy_folds=1, tune_models=())


def _check_names(argument: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UsageError(argument, f"must be of {', '.join(known)}, not {unknown}", "Correct them.")


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
    title: str = "Brain tumor study",
    command: str = "",
    phantom: bool = False,
    report: Report = silent,
) -> dict[str, Any]:
    """Does a study, or goes on with it.

    Args:
        data: the collections to train and test on, ``NAME=PATH`` or a folder.
        folder: of the study; a second call with the same folder goes on.
        config: what to do.
        external: collections that are only predicted, never trained on.
        title: of the report.
        command: how to do it again, for the report.
        phantom: whether the images are drawn.
        report: takes the progress.

    Returns:
        What results.json holds; see `report` for its schema.
    """
    if config.quick:
        config = config.quickened()
    _jobs(config, ())  # settings that no run can have are refused before the audit
    with _stopwatch(folder / "seconds.json"):
        manifest, findings = audited(data, external, folder, quick=config.quick, seed=config.seed, report=report)
        table = manifest[manifest["role"] == "study"].reset_index(drop=True)
        unseen = usable_external(manifest[manifest["role"] == "external"], table)
        searched = [model for model in config.tune_models if model in config.models]
        tuning = [_tuned(table, model, folder, config, report) for model in searched]
        runs = [_run(job, table, unseen, folder, report) for job in _jobs(config, tuning)]
    results = without_nan(
        {
            "schema": SCHEMA,
            "title": title,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "commit": environment.commit(),
            "version": __version__,
            "hardware": environment.describe(),
            "seconds": read_json(folder / "seconds.json"),
            "training_seconds": sum(run["seconds"] for run in runs),
            "peak_memory_mb": environment.peak_memory_mb(),
            "phantom": phantom,
            "config": asdict(config),
            "audit": findings,
            "external_overlap": _overlap(manifest),
            "runs": runs,
            "summary": _summaries(runs, folder),
            "comparisons": _comparisons(runs, folder),
            "tuning": tuning,
            "claims": [{"model": model, "accuracy": accuracy} for model, accuracy in CLAIMS.items()],
        }
    )
    write_json(folder / "results.json", results)
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
    """Returns the external images that can be scored honestly: none that shares a group with a training collection.

    Each picture stands there once, and not at all where it has two labels.
    A source with several contrasts becomes several: they are judged one by one.
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
    quick: bool = False,
    seed: int = 0,
    report: Report = silent,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Audits collections to train on together with those that are only scored, or reads what an earlier start found.

    Args:
        data: the collections to train and test on, ``NAME=PATH`` or a folder.
        external: collections that are only predicted.
        folder: gets study.json, manifest.csv and findings.json.
        quick: only a sample of ``data``.
        seed: of the sample.
        report: takes the progress.

    Returns:
        The manifest with the column `role`, "study" or "external", and the findings.

    Raises:
        RunError: the folder holds other collections.
    """
    made_of = {"data": list(data), "external": list(external), "quick": quick, "seed": seed}
    if not is_claimed(folder / "study.json", made_of, "a study"):
        write_json(folder / "study.json", made_of)
    if (folder / "manifest.csv").exists() and (folder / "findings.json").exists():
        return read_manifest(folder / "manifest.csv"), read_json(folder / "findings.json")
    table = collect(data).assign(role="study")
    if quick and len(table) > _QUICK_IMAGES:
        table = table.sample(_QUICK_IMAGES, random_state=seed)
    if external:
        table = pd.concat([table, collect(external).assign(role="external")], ignore_index=True)
    result = audit(table.reset_index(drop=True), AuditConfig(), report=report, cache=folder)
    write_audit(result, folder)
    return result.manifest, result.findings


def _jobs(config: StudyConfig, tuning: Sequence[dict[str, Any]]) -> list[_Job]:
    """Lists the runs, light networks first."""
    jobs = []
    order = sorted(config.models, key=lambda model: model in ("mobilenet", "resnet50"))
    for protocol in config.protocols:
        for model in order:
            heavy = model in ("mobilenet", "resnet50")
            folds = config.heavy_folds if heavy else config.folds
            for fold in range(1 if protocol == "random" or config.quick else folds):
                jobs.append(_job(protocol, model, "standard", fold, config))
        if protocol in config.baseline_protocols:
            jobs += [_job(protocol, model, "baseline", 0, config) for model in CLAIMS if model in order]
    for found in tuning:
        tuned = {key: value for key, value in found["best"].items() if key != "value"}
        jobs.append(_job("grouped", found["model"], "standard", 0, config, suffix="-tuned", **tuned))
    return sorted(jobs, key=lambda job: job.config.model in ("mobilenet", "resnet50"))


def _job(
    protocol: str, model: str, recipe: str, fold: int, config: StudyConfig, *, suffix: str = "", **settings: Any
) -> _Job:
    if config.quick:
        settings["epochs"] = _QUICK_EPOCHS[model]
    if model in ("mobilenet", "resnet50"):
        settings["weights"] = config.mobilenet_weights if model == "mobilenet" else config.resnet50_weights
    settings |= {"seed": config.seed, "threads": config.threads, **_size(config)}
    name = f"{protocol}-{model}-{recipe}-fold{fold}{suffix}"
    plan = SplitConfig(protocol=protocol, folds=config.folds, fold=fold, seed=config.seed)  # type: ignore[arg-type]
    return _Job(name, plan, make_config(model, recipe, **settings))


def _size(config: StudyConfig) -> dict[str, Any]:
    return {"size": config.size} if config.size else {}


def _run(job: _Job, manifest: pd.DataFrame, unseen: pd.DataFrame, folder: Path, report: Report) -> dict[str, Any]:
    run, cache, config = folder / "runs" / job.name, folder / "cache", job.config
    if config.recipe == "baseline" and config.model != "baseline-cnn":
        config = replace(config, best_before=_shared_best(folder, job))
    table = split(manifest, job.split)
    check(table, job.split.protocol)
    origin = {"name": job.name, "protocol": job.split.protocol, "fold": job.split.fold}
    train(table, config, run, cache=cache, origin=origin, report=within(report, job.name))
    if len(unseen):
        predict_external(unseen, run, cache=cache)
    results = evaluate_run(run)
    details, curve = read_json(run / "environment.json"), pd.read_csv(run / "curve.csv")
    return {
        **origin,
        "model": config.model,
        "recipe": config.recipe,
        "tuned": job.name.endswith("-tuned"),
        "folder": run.relative_to(folder).as_posix(),
        **{key: details[key] for key in ("parameters", "pretrained", "precision", "commit")},
        "epochs": len(curve),
        "seconds": float(curve["seconds"].sum()),
        "leaky": job.split.protocol in LEAKY,
        "twins": twin_counts(table),
        "results": results,
    }


def _shared_best(folder: Path, job: _Job) -> float | None:
    """Returns what the baseline study's one early-stopping object remembered from the run before: the CNN's best."""
    curve = folder / "runs" / f"{job.split.protocol}-baseline-cnn-baseline-fold0" / "curve.csv"
    return float(pd.read_csv(curve)["validation_loss"].min()) if curve.exists() else None


def _tuned(manifest: pd.DataFrame, model: str, folder: Path, config: StudyConfig, report: Report) -> dict[str, Any]:
    place = folder / "tune" / model
    found = read_tuning(place)
    if found is not None:
        return found
    table = split(manifest, SplitConfig(folds=config.folds, seed=config.seed))
    base = make_config(model, threads=config.threads, **_size(config))
    settings = TuneConfig(trials=config.trials, trial_epochs=config.trial_epochs, seed=config.seed)
    return tune(table, base, settings, place, cache=folder / "cache", report=within(report, f"tune {model}"))


def _families(runs: Sequence[dict[str, Any]]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Collects the folds of each protocol, model and recipe."""
    families: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for run in runs:
        recipe = f"{run['recipe']}, tuned" if run["tuned"] else run["recipe"]
        families.setdefault((run["protocol"], run["model"], recipe), []).append(run)
    return families


def _summaries(runs: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "protocol": protocol,
            "model": model,
            "recipe": recipe,
            "leaky": protocol in LEAKY,
            **summarise_runs([folder / run["folder"] for run in family]),
        }
        for (protocol, model, recipe), family in _families(runs).items()
    ]


def _comparisons(runs: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Compares `compact` with each other network, and tuned with untuned settings, on the folds that both have."""
    families, found = _families(runs), []
    for (protocol, model, recipe), family in families.items():
        rival = "baseline-cnn" if model == "compact" else "compact"
        other = families.get((protocol, model if recipe == "standard, tuned" else rival, "standard"), [])
        if recipe == "baseline" or (model == "compact" and recipe == "standard"):
            continue
        shared = {run["fold"] for run in family} & {run["fold"] for run in other}
        if not shared:
            continue
        mine, theirs = ([folder / run["folder"] for run in side if run["fold"] in shared] for side in (family, other))
        names = {"protocol": protocol, "a": f"{model} ({recipe})", "b": f"{other[0]['model']} (standard)"}
        found += [{**names, **row} for row in compare_runs(mine, theirs)["comparisons"]]
    return found


def _overlap(manifest: pd.DataFrame) -> dict[str, int]:
    """Counts the external images, by source, that were left out because they share a group with the study's."""
    external = manifest[manifest["role"] == "external"]
    shared = external[external["group"].isin(set(manifest.loc[manifest["role"] == "study", "group"]))]
    return {str(source): int(count) for source, count in shared.groupby("source").size().items()}
