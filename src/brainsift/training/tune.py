"""Search for learning rate, dropout and other settings, on validation data only.

Optuna samples settings (TPE, Bergstra et al. 2011), stops hopeless trials early (median rule), and keeps all trials in
an SQLite file, so that an interrupted search can go on.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from sqlalchemy.exc import SQLAlchemyError

from brainsift.core.errors import RunError, in_one_line
from brainsift.core.progress import Report, silent, within
from brainsift.training.recipes import TrainConfig, TuneConfig
from brainsift.training.runs import claim
from brainsift.training.searches import Search, Trial
from brainsift.training.train import train

SPACE: dict[str, Callable[[optuna.Trial], Any]] = {
    "learning_rate": lambda trial: trial.suggest_float("learning_rate", 1e-5, 2e-2, log=True),
    "dropout": lambda trial: trial.suggest_float("dropout", 0.0, 0.7),
    "weight_decay": lambda trial: trial.suggest_float("weight_decay", 1e-4, 0.3, log=True),
    "augment": lambda trial: trial.suggest_float("augment", 0.0, 1.0),
    "label_smoothing": lambda trial: trial.suggest_float("label_smoothing", 0.0, 0.2),
}
OPEN = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)


def tune(
    table: pd.DataFrame,
    base: TrainConfig,
    config: TuneConfig,
    folder: Path,
    *,
    cache: Path,
    report: Report = silent,
) -> Search:
    """Searches settings for one network; goes on where an earlier search in the folder stopped.

    Args:
        table: manifest with the column `part`; only "train" and "validation" are used.
        base: the settings that are not searched; trials write no log.
        config: what to search and how long.
        folder: gets trials.sqlite, tuning.json and the current trial, and in config.json and split.csv what was
            searched on.
        cache: folder of preprocessed pixels.
        report: takes the progress of each trial.

    Returns:
        What it found, also written to tuning.json.

    Raises:
        RunError: the folder holds a search on other images or with other settings, or no trial had a finite loss.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen = table[table["part"].isin(["train", "validation"])].reset_index(drop=True)
    base = replace(base, epochs=config.trial_epochs, seed=config.seed, log="none")
    claim(folder, {**asdict(base), "search": list(config.search)}, seen, "a search")

    def objective(trial: optuna.Trial) -> float:
        trial_folder = folder / "trial"
        shutil.rmtree(trial_folder, ignore_errors=True)
        chosen = replace(base, **{name: SPACE[name](trial) for name in config.search})
        values = ", ".join(f"{name} {value:.3g}" for name, value in trial.params.items())
        name = f"trial {len(ended()) + 1}/{config.trials} ({values})"
        losses: list[float] = []

        def judge(row: dict[str, float]) -> None:
            losses.append(row["validation_loss"])
            trial.report(min(losses), int(row["epoch"]))
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            train(seen, chosen, trial_folder, cache=cache, report=within(report, name), on_epoch=judge)
        except RunError:  # in a new folder: the loss is not finite
            raise optuna.TrialPruned from None
        return min(losses)

    def ended() -> list[optuna.trial.FrozenTrial]:
        return search.get_trials(deepcopy=False, states=OPEN)

    with _quiet(), _storage_errors(folder / "trials.sqlite"):
        search = _open_search(folder, base, config)
        while (place := len(ended())) < config.trials:
            # Each trial has a seed of its own, so that one that was interrupted is drawn again as it was.
            seed = int(np.random.SeedSequence((config.seed, place)).generate_state(1)[0])
            search.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
            search.optimize(objective, n_trials=1)
        shutil.rmtree(folder / "trial", ignore_errors=True)
        if not search.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
            remedy = "Search in another folder with a smaller --learning-rate."
            raise RunError(folder, "no trial had a finite loss", remedy)
        result = _summary(search, base, config)
    result.write(folder / "tuning.json")
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna from printing each trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Turns errors of the file of the trials, such as those of a full disk, into ours."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        remedy = "Make room, or check its folder; then start again with the same -o."
        rule = f"cannot be read or written: {in_one_line(getattr(cause, 'orig', None) or cause or error)}"
        raise RunError(path, rule, remedy) from error


def _open_search(folder: Path, base: TrainConfig, config: TuneConfig) -> optuna.Study:
    storage = f"sqlite:///{folder.resolve()}/trials.sqlite"
    name = f"{base.model} {base.recipe} {config.trial_epochs} epochs: {', '.join(config.search)}"
    search = optuna.create_study(
        study_name=name,
        storage=storage,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
        load_if_exists=True,
    )
    for trial in search.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        search.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # its process was killed
    if not search.get_trials(deepcopy=False, states=(*OPEN, optuna.trial.TrialState.WAITING)):
        # The recipe's own values first.
        search.enqueue_trial({key: value for key, value in asdict(base).items() if key in config.search})
    return search


def _summary(search: optuna.Study, base: TrainConfig, config: TuneConfig) -> Search:
    trials = search.get_trials(deepcopy=False, states=OPEN)
    importance: dict[str, float] = {}
    if sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in trials) > 3:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=config.seed)
        importance = optuna.importance.get_param_importances(search, evaluator=evaluator)
    return Search(
        model=base.model,
        recipe=base.recipe,
        epochs=config.trial_epochs,
        seed=config.seed,
        trials=tuple(
            Trial(place, math.nan if one.value is None else one.value, one.state.name.lower(), dict(one.params))
            for place, one in enumerate(trials)  # their own numbers also count those that were interrupted
        ),
        best={"value": search.best_value, **search.best_params},
        importance=importance,
    )
