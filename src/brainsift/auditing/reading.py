"""What an audit says about a collection: sentences and charts, for its report, for a study's, and for a notebook."""

import pandas as pd

from brainsift.auditing.findings import Findings, Probe
from brainsift.charts import plots
from brainsift.charts.figure import Figure
from brainsift.core import text
from brainsift.core.labels import class_in_words

_SEES_ANATOMY = ("nearest neighbor", "shuffled labels")
_FLAGS = {
    "conflict": "with copies of the other label",
    "near_conflict": "with near-duplicates of the other label",
    "off_topic": "that may be no brain MRI",
    "several_pictures": "that are the first of several in their file: the others are not read",
}


def headline(findings: Findings, manifest: pd.DataFrame) -> list[str]:
    """Returns sentences that say the most important of what was found.

    Args:
        findings: of the audit.
        manifest: with the columns of the audit.
    """
    usable = manifest[manifest["group"] != ""]
    files, groups = distinct(usable, "sha256"), usable["group"].nunique()
    share = 1 - groups / max(len(usable), 1)
    same = f"They are {text.thousands(files)} distinct files, {text.thousands(groups)} independent groups"
    copies = f": {100 * share:.0f} % of them add nothing new, and a random split would leak" if share >= 0.01 else ""
    sources = text.counted(manifest["source"].nunique(), "source")
    sentences = [f"{text.counted(len(manifest), 'image')} of {sources}. {same}{copies}."]
    flagged = rows_by_flag(manifest)
    sentences += [
        f"{text.counted(len(flagged[flag]), 'image')} {words}." for flag, words in _FLAGS.items() if flag in flagged
    ]
    unusable = int((manifest["status"] != "ok").sum())
    if unusable:
        sentences.append(f"{text.counted(unusable, 'file')} that cannot be used.")
    best = best_blind_rule(findings)
    if best and best.beats_guessing:
        sentences.append(
            f"A rule that sees no anatomy ({text.words(best.name)}) tells the classes apart with an accuracy of "
            f"{text.shown(best.accuracy.value)}: a network can score that much without knowing tumors."
        )
    elif best:
        sentences.append(
            "Neither the size of the files nor their border tells the classes apart, with groups kept whole."
        )
    return sentences


def best_blind_rule(findings: Findings) -> Probe | None:
    """Returns the rule without any anatomy that does best with groups kept whole; None without probes.

    The nearest neighbor is left out: a thumbnail shows some anatomy.
    """
    probes = [
        probe
        for probe in findings.probes
        if not probe.leaky and probe.name not in _SEES_ANATOMY and probe.accuracy.known
    ]
    return max(probes, key=lambda probe: probe.accuracy.value, default=None)


def probe_figure(findings: Findings) -> Figure | None:
    """Draws what the probes reach, on folds that keep groups whole and on random ones; None without probes."""
    probes = sorted(findings.probes, key=lambda probe: probe.leaky)
    if not probes:
        return None
    bars = [plots.Bar(text.words(one.name), one.accuracy, series=int(one.leaky), hollow=one.leaky) for one in probes]
    return plots.forest(bars, xlabel="accuracy", names=("groups kept whole", "random folds (leaky)"))


def class_figure(manifest: pd.DataFrame) -> Figure:
    """Draws the numbers of images by source and class."""
    names = manifest["label"].map(class_in_words)
    counts = pd.crosstab(manifest["source"], names)
    ordered = [name for name in ("tumor", "no tumor", "unlabelled") if name in counts]
    return plots.class_distribution(
        {str(source): {name: int(row[name]) for name in ordered} for source, row in counts.iterrows()}
    )


def total_counts(findings: Findings) -> list[tuple[str, str]]:
    """Returns the names and the numbers of the totals, for people."""
    return [(text.words(name), text.thousands(count)) for name, count in vars(findings.totals).items()]


def rows_by_flag(manifest: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Returns the rows that carry each flag, the most frequent flag first."""
    flags = manifest["flags"].str.split(";").explode()
    counts = flags[flags != ""].value_counts()
    return {str(name): manifest.loc[flags.index[flags == name].unique()] for name in counts.index}


def distinct(rows: pd.DataFrame, column: str) -> int:
    """Counts distinct values of a column, without empty ones; a file of three channels is three images."""
    keys = [column, "channel"] if "sha256" in column else [column]
    return len(rows.loc[rows[column] != "", keys].drop_duplicates())
