"""A search for settings -> what its page shows, alone or in the report of a study."""

import math

from brainsift.charts import plots
from brainsift.core import text
from brainsift.reports.sections import Context
from brainsift.training.searches import Search, Trial


def search_page(search: Search) -> Context:
    """Returns the variables of the template of a search."""
    return {"contents": [], "search": search_block(search)}


def search_block(search: Search) -> Context:
    """Returns what is shown of one search."""
    names = list(search.trials[0].settings) if search.trials else []
    facts = [
        (f"best {'validation loss' if name == 'value' else text.words(name)}", f"{value:.4g}")
        for name, value in search.best.items()
    ]
    if search.importance:
        shares = (f"{text.words(name)} {100 * share:.0f} %" for name, share in search.importance.items())
        facts.append(("share of the variation explained", ", ".join(shares)))
    return {
        "heading": search.model,
        "charts": [plots.tuning(_points(search, name), name).under(search.model) for name in names],
        "facts": facts,
        "head": ["trial", "state", "validation loss", *(text.words(name) for name in names)],
        "rows": [_row(trial, names) for trial in search.trials],
    }


def _points(search: Search, name: str) -> list[plots.TrialPoint]:
    return [
        plots.TrialPoint(trial.number, trial.settings[name], trial.value, trial.state == "pruned")
        for trial in search.trials
        if name in trial.settings and math.isfinite(trial.value)
    ]


def _row(trial: Trial, names: list[str]) -> tuple[int | str, ...]:
    values = (trial.value, *(trial.settings.get(name, math.nan) for name in names))
    return trial.number, trial.state, *(f"{value:.4g}" if math.isfinite(value) else "–" for value in values)
