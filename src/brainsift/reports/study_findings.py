"""Results of a study -> which network the validation part chose, and sentences that say what to believe."""

import math
from collections.abc import Sequence
from typing import Any

from brainsift.reports.audit_page import beats_guessing, best_blind_rule

Entry = dict[str, Any]


def is_leaky(protocol: str) -> bool:
    """Tells whether copies of test images may stand in training."""
    return protocol == "random"


def run_recipe(run: Entry) -> str:
    """Names a run's recipe as the summary does."""
    return f"{run['recipe']}, tuned" if run.get("tuned") else str(run["recipe"])


def family(entry: Entry) -> tuple[str, str, str]:
    """Returns what the folds of one network have in common: protocol, model, recipe."""
    return str(entry["protocol"]), str(entry["model"]), str(entry["recipe"])


def choose(results: Entry) -> Entry | None:
    """Picks the honest summary whose runs have the lowest Brier loss on their validation part, never by the test.

    Only families with as many folds as the best covered one compete: one lucky fold is no better network.
    """
    candidates = _candidates(results)
    losses = [(_validation_loss(results, row), number) for number, row in enumerate(candidates)]
    known = [(loss, number) for loss, number in losses if math.isfinite(loss)]
    if known:
        return candidates[min(known)[1]]
    return candidates[0] if candidates else None


def believe(results: Entry) -> list[str]:
    """Returns the sentences of the headline, the advice last."""
    chosen = choose(results)
    sentences = ["All images are drawn phantoms: nothing here is about patients."] if results.get("phantom") else []
    if chosen is None:
        return [
            *sentences,
            "Only a leaky split was tried, so these figures say little about new patients: use `grouped`.",
        ]
    return [
        *sentences,
        _inside(chosen, rivals=len(_candidates(results)) - 1),
        *_leaky(results, chosen),
        *_probes(results),
        *_outside(chosen),
        _advice(chosen, phantom=bool(results.get("phantom"))),
    ]


def external_score(entry: Entry) -> str:
    """Names the score that suits a source: one class only has no balanced accuracy."""
    if entry["n_tumor"] == 0:
        return "specificity"
    return "sensitivity" if entry["n_tumor"] == entry["n"] else "balanced_accuracy"


def percent(interval: Entry | None, *, span: bool = True) -> str:
    """Writes an interval of 0 to 1 as percent.

    >>> percent({"value": 0.947, "low": 0.931, "high": 0.9602})
    '94.7 % (93.1 to 96.0)'
    """
    if not interval or interval.get("value") is None:
        return "an unknown share"
    words = f"{100 * interval['value']:.1f} %"
    if not span or interval.get("low") is None:
        return words
    return f"{words} ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})"


def _validation_loss(results: Entry, row: Entry) -> float:
    losses = []
    for run in results.get("runs") or []:
        validation = (run.get("results") or {}).get("validation")
        if (run["protocol"], run["model"], run_recipe(run)) == family(row) and validation:
            losses.append(validation["scores"]["brier_loss"]["value"])
    usable = [loss for loss in losses if loss is not None]
    return sum(usable) / len(usable) if usable else math.nan


def _candidates(results: Entry) -> list[Entry]:
    honest = [row for row in results.get("summary") or [] if not is_leaky(row["protocol"])]
    most = max((row["n_folds"] for row in honest), default=0)
    return [row for row in honest if row["n_folds"] == most]


def _inside(chosen: Entry, *, rivals: int) -> str:
    pooled = chosen["pooled"]
    auc = pooled["roc_auc"]["value"]
    count = f"{chosen['n']} test images in {chosen['n_groups']} groups" if "n" in chosen else "the test images"
    how = ", chosen on the validation part," if rivals else ""
    area = f", ROC AUC {auc:.3f}" if auc is not None else ""
    return (
        f"With copies, near-duplicates and patients kept whole, {chosen['model']} ({chosen['recipe']}){how} is right "
        f"on {percent(pooled['accuracy'])} of {count}{area}."
    )


def _leaky(results: Entry, chosen: Entry) -> list[str]:
    rows = [row for row in results["summary"] if is_leaky(row["protocol"])]
    same = [row for row in rows if row["model"] == chosen["model"]] or rows
    if not same:
        return []
    best = max(same, key=lambda row: row["pooled"]["accuracy"]["value"] or 0)
    shares = [twin_share(run.get("twins") or {}, "same_group") for run in results["runs"] if is_leaky(run["protocol"])]
    known = [share for share in shares if share is not None]
    twins = f": {100 * known[0]:.0f} % of its test images have a near-duplicate in training" if known else ""
    accuracy = percent(best["pooled"]["accuracy"], span=False)
    return [
        f"A random split of the same images gives {best['model']} {accuracy}, which is leaky{twins}. Do not believe it."
    ]


def twin_share(twins: Entry, kind: str) -> float | None:
    """Returns the share of test images with a twin of that kind in training."""
    if f"{kind}_share" in twins:
        return float(twins[f"{kind}_share"])
    total = twins.get("test", twins.get("n_test"))
    return float(twins[kind]) / total if total and twins.get(kind) is not None else None


def _probes(results: Entry) -> list[str]:
    best = best_blind_rule(results.get("audit") or {})
    if not best:
        return []
    if not beats_guessing(best):
        return ["Rules that see no anatomy do no better than guessing on these images."]
    name = str(best["name"]).replace("_", " ")
    return [
        f"A rule that sees no anatomy ({name}) reaches {percent(best['accuracy'])} on these images: so much needs no "
        "knowledge of tumors."
    ]


def _outside(chosen: Entry) -> list[str]:
    both = _with_both_classes(chosen)
    if not both:
        return []
    ranked = sorted(both, key=lambda one: one[1]["balanced_accuracy"]["value"])
    (worst, low), (best, high) = ranked[0], ranked[-1]
    if len(ranked) == 1:
        reach = (
            f"On {_name(worst)}, a source it never saw, its balanced accuracy is {percent(low['balanced_accuracy'])}."
        )
    else:
        reach = (
            f"On sources it never saw, its balanced accuracy goes from {percent(low['balanced_accuracy'])} "
            f"({_name(worst)}) to {percent(high['balanced_accuracy'])} ({_name(best)})."
        )
    guessing = [_name(name) for name, one in both if _reaches_chance(one)]
    return [reach + (f" On {' and '.join(guessing)} it cannot be told from guessing." if guessing else "")]


def _advice(chosen: Entry, *, phantom: bool) -> str:
    if phantom:
        return "Believe that the machinery works; for anything else, use real images."
    both = _with_both_classes(chosen)
    if not both:
        return "No image of another source was tested: on your own images expect less than this."
    value = chosen["pooled"]["balanced_accuracy"]["value"] or 1.0
    worst = min(one["balanced_accuracy"]["value"] for _, one in both)
    if worst < value - 0.05:
        return "On your own images expect the figures of the unseen sources, not those of the held-out groups."
    return "The unseen sources agree with the held-out groups; your own images may still differ from both."


def _with_both_classes(chosen: Entry) -> Sequence[tuple[str, Entry]]:
    external = chosen.get("external") or {}
    return [(name, one) for name, one in external.items() if external_score(one) == "balanced_accuracy"]


def _reaches_chance(entry: Entry) -> bool:
    low = entry["balanced_accuracy"]["low"]
    return low is None or low <= 0.5


def _name(source: str) -> str:
    return source.replace("_", " ")
