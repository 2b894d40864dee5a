"""Manifest -> train, validation and test parts; groups and patients stay whole.

Three protocols. `grouped`, the default, keeps near-duplicates and patients in one part and takes every picture once.
`source-out` does the same and tests on collections that nothing was trained on. `random` is the baseline study's
split; it is leaky and exists to show what leakage does.
"""

import re
import warnings
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from brainsift.core.errors import ManifestError, UsageError
from brainsift.datasets.manifest import PARTS

Protocol = Literal["grouped", "random", "source-out"]
LEAKY: frozenset[str] = frozenset({"random"})


def is_leaky(protocol: str | None) -> bool:
    """Tells whether a protocol may put copies of test images into the training set: the one place that decides it."""
    return protocol in LEAKY


# The baseline study: 80 % train; of the rest 55 % test, 45 % validation.
_BASELINE_REST = 0.20
_BASELINE_TEST = 0.55
# The finest grain in which the validation part is cut out.
_VALIDATION_FOLDS = 20
_RARE = "other"


@dataclass(frozen=True)
class SplitConfig:
    """How to split.

    Attributes:
        protocol: `grouped`, `random` (leaky) or `source-out`.
        folds: number of folds of `grouped`.
        fold: the fold that becomes the test part, 0 to folds - 1.
        validation_share: share of the images outside the test part that become the validation part.
        seed: another seed, another split.
        hold_out: the sources that become the test part of `source-out`.
        sources: the sources to take images from; empty: all.
        test_patients: SOURCE=N: more of a source's patients in the test part of `grouped`, until there are N.

    Raises:
        UsageError: a value out of its range.
    """

    protocol: Protocol = "grouped"
    folds: int = 5
    fold: int = 0
    validation_share: float = 0.15
    seed: int = 0
    hold_out: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    test_patients: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "hold_out", tuple(self.hold_out))
        object.__setattr__(self, "sources", tuple(self.sources))
        object.__setattr__(self, "test_patients", tuple(self.test_patients))
        _require(self.protocol in get_args(Protocol), "protocol", self.protocol, f"one of {get_args(Protocol)}")
        _require(self.folds >= 2, "folds", self.folds, "2 or more")
        _require(0 <= self.fold < self.folds, "fold", self.fold, f"0 to {self.folds - 1}")
        _require(0.0 < self.validation_share < 1.0, "validation_share", self.validation_share, "between 0 and 1")
        _require(0 <= self.seed < 2**32, "seed", self.seed, "0 to 4294967295")
        wanted = self.protocol == "source-out"
        rule = "one or more sources, such as --hold-out NAME" if wanted else f"empty with {self.protocol}"
        _require(bool(self.hold_out) == wanted, "hold_out", self.hold_out, rule)
        fits = all(re.fullmatch(r".+=\d+", entry) for entry in self.test_patients)
        _require(fits, "test_patients", self.test_patients, "SOURCE=N, such as cheng=40")
        useful = self.protocol == "grouped" or not self.test_patients
        _require(useful, "test_patients", self.test_patients, f"empty with {self.protocol}")

    @property
    def leaky(self) -> bool:
        """Whether copies of one picture may stand on both sides."""
        return is_leaky(self.protocol)


def split(manifest: pd.DataFrame, config: SplitConfig) -> pd.DataFrame:
    """Gives each row its part.

    Rows take part that have a label and, where the manifest was audited, the status "ok". The honest protocols also
    leave out rows in conflict (one picture, two labels) and all but one row of each distinct picture: the one kept has
    an outline or a patient where any copy has, then comes first by source and file name. Groups that share a file, a
    picture or a patient count as one. The order of the rows does not matter.

    Args:
        manifest: with the columns of `manifest`; `group` is needed unless the protocol is `random`.
        config: how to split.

    Returns:
        A copy with the column `part`: "train", "validation", "test", or "" for rows left out.

    Raises:
        ManifestError: no column `group`, or too few groups to split.
        UsageError: a source that the manifest does not have.
    """
    if not config.leaky and "group" not in manifest:
        raise ManifestError(
            "group", "the manifest lacks this column", "Audit it first: brainsift audit DATA... -o DIR."
        )
    rows = _candidates(manifest, config)
    chosen = _PROTOCOLS[config.protocol](rows, config)
    part = pd.Series("", index=range(len(manifest)), dtype=object)
    part.loc[chosen.index] = chosen
    result = manifest.copy()
    result["part"] = part.to_numpy()
    return result


def check(manifest: pd.DataFrame, protocol: Protocol = "grouped") -> None:
    """Makes sure that nothing leaks: no group, patient, file or picture stands in two parts.

    Args:
        manifest: with the column `part`.
        protocol: the protocol it was made with; `random` leaks by design and is not checked.

    Raises:
        ManifestError: a leak, or a part that is none.
    """
    unknown = sorted(set(manifest["part"]) - {*PARTS, ""})
    if unknown:
        raise ManifestError("part", f"holds {unknown}", f"A part is one of {PARTS} or empty.")
    if is_leaky(protocol):
        return
    used = manifest[manifest["part"] != ""]
    for column in ("group", "patient", "sha256", "pixels_sha256"):
        keys = _named(used, column)
        parts = used["part"][keys != ""].groupby(keys[keys != ""]).nunique()
        if (parts > 1).any():
            rule = f"{int((parts > 1).sum())} values of `{column}` stand in more than one part, such as "
            raise ManifestError("part", f"{rule}{parts.idxmax()!r}", "Split again with the protocol `grouped`.")


def twin_counts(manifest: pd.DataFrame) -> dict[str, float]:
    """Counts the test rows that have a twin in the train part.

    Args:
        manifest: with the column `part`; hashes and groups as the audit fills them.

    Returns:
        `test`, the number of test rows; then number and share (0 to 1) of those with the same file (`same_file`,
        `same_file_share`), the same decoded pixels (`same_pixels`, ...) or the same group (`same_group`, ...) in
        train. A kind of twin whose column is missing is left out.
    """
    test, train = manifest[manifest["part"] == "test"], manifest[manifest["part"] == "train"]
    counts: dict[str, float] = {"test": len(test)}
    for name, column in (("same_file", "sha256"), ("same_pixels", "pixels_sha256"), ("same_group", "group")):
        if column not in manifest:
            continue
        keys = _named(test, column)
        twins = int((keys.isin(set(_named(train, column))) & (keys != "")).sum())
        counts[name] = twins
        counts[f"{name}_share"] = twins / len(test) if len(test) else 0.0
    return counts


def _require(fulfilled: bool, name: str, value: object, rule: str) -> None:
    if not fulfilled:
        raise UsageError(name, f"must be {rule}, got {value!r}", "Correct it.")


def _text(rows: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column as text without gaps; "" everywhere where the manifest lacks it."""
    if column not in rows:
        return pd.Series("", index=rows.index, dtype=object)
    return rows[column].fillna("").astype(str).astype(object)


def _named(rows: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column as text; patients with their source: two hospitals may both have a patient 1."""
    values = _text(rows, column)
    if column != "patient":
        return values
    return (_text(rows, "source") + "\0" + values).where(values != "", "")


def _candidates(manifest: pd.DataFrame, config: SplitConfig) -> pd.DataFrame:
    """Returns the rows that may take part, in an order that depends on their content only.

    The index counts the rows of `manifest`. Added columns: `picture` (the same for the same pixels), `cluster` (number
    of the joined group).
    """
    rows = manifest.reset_index(drop=True)
    wanted = {*config.sources, *config.hold_out}
    absent = sorted(wanted - set(rows["source"]))
    _require(not absent, "sources", absent, f"among {sorted(set(rows['source']))}")
    keep = rows["label"].notna()
    if "status" in rows:
        keep &= rows["status"] == "ok"
    if config.sources:
        keep &= rows["source"].isin(wanted)
    rows = rows[keep]
    if rows.empty:
        raise ManifestError("manifest", "no row has a label and the status ok", "Check labels and audit.")
    rows = rows.loc[_order(rows)]
    pixels, files, paths = (_text(rows, column) for column in ("pixels_sha256", "sha256", "path"))
    content = pixels.where(pixels != "", files.where(files != "", paths))
    return rows.assign(picture=content + "\0" + _text(rows, "channel"), cluster=_clusters(rows))


def _order(rows: pd.DataFrame) -> pd.Index:
    """Sorts rows that carry more knowledge first, then by source, content and path."""
    paths = _text(rows, "path")
    keys = pd.DataFrame(
        {
            "mask": _text(rows, "mask") == "",
            "patient": _text(rows, "patient") == "",
            "source": rows["source"],
            "name": paths.str.replace("\\", "/").str.rpartition("/")[2],
            "hash": _text(rows, "sha256"),
            "channel": _text(rows, "channel"),
            "path": paths,
        }
    )
    return keys.sort_values(list(keys.columns), kind="stable").index


def _clusters(rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Joins rows that share a group, a patient, a file or a picture, over any number of steps.

    Returns:
        (n,) numbers, counted in the order of the rows: they do not depend on how the audit names its groups.
    """
    nodes, edges = len(rows), []
    for column in ("group", "patient", "path", "sha256", "pixels_sha256"):
        values = _named(rows, column).to_numpy()
        filled = np.flatnonzero(values != "")
        codes, _ = pd.factorize(values[filled])
        edges.append(np.stack([filled, nodes + codes]))
        nodes += int(codes.max(initial=-1)) + 1
    start, end = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(start), dtype=bool), (start, end)), shape=(nodes, nodes))
    labels = connected_components(graph, directed=False)[1][: len(rows)]
    return pd.factorize(labels)[0].astype(np.int64)


def _distinct(rows: pd.DataFrame) -> pd.DataFrame:
    """Keeps one row of each picture and none in conflict; adds `stratum`: the label and where the picture occurs."""
    grouped = rows.groupby("picture", sort=False)
    conflict = _text(rows, "flags").str.split(";").map(lambda flags: "conflict" in flags)
    conflict |= grouped["label"].transform("nunique") > 1
    origin = rows["picture"].map(grouped["source"].agg(lambda sources: "+".join(sorted(set(sources)))))
    strata = rows["label"].astype(int).astype(str) + " " + origin
    return rows.assign(stratum=strata)[~conflict & ~rows.duplicated("picture")]


def _fold_numbers(rows: pd.DataFrame, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Deals the clusters into folds that are alike in label and source.

    Returns:
        (n,) number of the fold of each row.
    """
    _require_groups(rows, folds)
    per_stratum = rows.groupby("stratum")["cluster"].nunique()
    rare = rows["stratum"].map(per_stratum) < folds
    strata = rows["stratum"].where(~rare, rows["label"].astype(int).astype(str) + " " + _RARE)
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    numbers = np.zeros(len(rows), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, taken) in enumerate(dealer.split(rows, strata, rows["cluster"])):
            numbers[taken] = number
    return numbers


def _groups_per_label(rows: pd.DataFrame) -> dict[float, int]:
    counts = rows.groupby("label")["cluster"].nunique()
    return {label: int(counts.get(label, 0)) for label in (0.0, 1.0)}


def _require_groups(rows: pd.DataFrame, folds: int) -> None:
    no_tumor, tumor = _groups_per_label(rows).values()
    if min(no_tumor, tumor) < folds:
        rule = f"{tumor} independent groups with tumor and {no_tumor} without are too few for {folds} parts"
        raise ManifestError("manifest", rule, "Add images of more patients, or ask for fewer folds.")


def _train_or_validation(rows: pd.DataFrame, config: SplitConfig) -> pd.Series:
    """Returns "train" or "validation" for rows of the honest protocols."""
    _require_groups(rows, 2)
    finest = min(_VALIDATION_FOLDS, *_groups_per_label(rows).values())
    share = Fraction(config.validation_share).limit_denominator(finest)
    share = min(max(share, Fraction(1, finest)), Fraction(finest - 1, finest))
    numbers = _fold_numbers(rows, share.denominator, config.seed)
    return pd.Series(np.where(numbers < share.numerator, "validation", "train"), index=rows.index, dtype=object)


def _grouped(rows: pd.DataFrame, config: SplitConfig) -> pd.Series:
    rows = _distinct(rows)
    test = _fold_numbers(rows, config.folds, config.seed) == config.fold
    for entry in config.test_patients:
        source, _, wanted = entry.rpartition("=")
        test |= rows["cluster"].isin(_more_patients(rows, test, source, int(wanted), config.seed)).to_numpy()
    return pd.concat([_train_or_validation(rows[~test], config), pd.Series("test", index=rows.index[test])])


def _more_patients(
    rows: pd.DataFrame, test: npt.NDArray[np.bool_], source: str, wanted: int, seed: int
) -> npt.NDArray[np.int64]:
    """Draws clusters that bring the test part to a wanted number of patients of a source."""
    patients = _text(rows, "patient").where(rows["source"] == source, "")
    per_cluster = patients[~test & (patients != "")].groupby(rows["cluster"]).nunique()
    missing = wanted - patients[test & (patients != "")].nunique()
    rule = f"at most {patients[patients != ''].nunique()} for {source}, the patients it names"
    _require(missing <= per_cluster.sum(), "test_patients", wanted, rule)
    drawn = per_cluster.sample(frac=1, random_state=seed)
    enough = drawn.cumsum().shift(fill_value=0) < missing
    return drawn.index[enough].to_numpy()


def _source_out(rows: pd.DataFrame, config: SplitConfig) -> pd.Series:
    held = rows["source"].isin(config.hold_out)
    # The test part stays the whole source; what resembles it leaves the train side.
    near = rows["cluster"].isin(set(rows["cluster"][held]))
    test = _distinct(rows[held])
    if near.all():
        rule = f"has only images of {', '.join(config.hold_out)}, and copies of them: nothing is left to train on"
        raise ManifestError("manifest", rule, "Audit other sources with it.")
    return pd.concat([_train_or_validation(_distinct(rows[~near]), config), pd.Series("test", index=test.index)])


def _random(rows: pd.DataFrame, config: SplitConfig) -> pd.Series:
    try:
        train, rest = train_test_split(rows, test_size=_BASELINE_REST, stratify=rows["label"], random_state=config.seed)
        validation, test = train_test_split(
            rest, test_size=_BASELINE_TEST, stratify=rest["label"], random_state=config.seed
        )  # fmt: skip
    except ValueError as error:
        raise ManifestError("manifest", f"too few images to split ({error})", "Add images.") from None
    parts = zip(PARTS, (train, validation, test), strict=True)
    return pd.concat([pd.Series(part, index=taken.index) for part, taken in parts])


_PROTOCOLS = {"grouped": _grouped, "random": _random, "source-out": _source_out}
