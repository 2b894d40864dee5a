"""From a manifest to training, validation and test set; groups and patients stay whole. See `protocols`."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from brainsift.core.errors import ManifestError, UsageError
from brainsift.datasets.csv_table import TEXT
from brainsift.datasets.labelling import Ruling
from brainsift.datasets.manifest import PARTS, read_manifest
from brainsift.datasets.protocols import Protocol, SplitConfig, is_leaky

# The baseline study: 80 % train; of the rest 55 % test, 45 % validation.
_BASELINE_REST = 0.20
_BASELINE_TEST = 0.55
# The finest grain in which the validation set is cut out.
_VALIDATION_FOLDS = 20
_RARE = "other"
_AUDIT_FIRST = "Audit it first: brainsift audit DATA... -o DIR."


def split(manifest: pd.DataFrame | str | Path, config: SplitConfig | None = None, **settings: Any) -> pd.DataFrame:
    """Divides a manifest into training, validation and test set.

    Rows take part that have a label and, where the manifest was audited, the status "ok". The protocols without
    leakage also leave out images with two labels, and all but one row per distinct image: they keep the one with a mask
    or a patient where any copy has them, then the first by source and file name. Groups that share a file, the same
    pixels or a patient count as one. The order of the rows does not matter.

    Args:
        manifest: table or CSV file with the columns of `manifest`; `group` is needed unless the protocol is `random`.
        config: how to split.
        settings: fields of `SplitConfig` that differ from `config`, or from the defaults without one.

    Returns:
        A copy with the column `part`: "train", "validation", "test", or "" for rows left out.

    Raises:
        ManifestError: no column `group`, or too few groups to split.
        UsageError: a setting out of its range, or a source that the manifest does not have.

    >>> table = split("audit/manifest.csv", folds=4, fold=1)  # doctest: +SKIP
    >>> table["part"].value_counts()  # doctest: +SKIP
    """
    config = replace(config or SplitConfig(), **settings)
    table = manifest.copy() if isinstance(manifest, pd.DataFrame) else read_manifest(Path(manifest))
    if not config.leaky and "group" not in table:
        raise ManifestError("group", "the manifest lacks this column", _AUDIT_FIRST)
    rows = _candidates(table, config)
    chosen = _PROTOCOLS[config.protocol](rows, config)
    part = pd.Series("", index=range(len(table)), dtype=object)
    part.loc[chosen.index] = chosen
    table["part"] = part.to_numpy()
    check(table, config.protocol)
    return table


def with_subsets(
    manifest: pd.DataFrame | str | Path, *, mapping: Mapping[str, Ruling] | None = None, **settings: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Returns an audited manifest with its subsets: those that it has, or those that a split makes now.

    Args:
        manifest: table or CSV file.
        mapping: labels of names that brainsift does not know, for a file; see `labelling.Labelling`.
        settings: fields of `SplitConfig`, for a manifest that is not split.

    Returns:
        The table with the column `part`, and how it was split: protocol and fold, both None where only the subsets
        are known.

    Raises:
        ManifestError: it was not audited.
        UsageError: it is split already, and settings other than the seed say how to split it.
    """
    table = manifest if isinstance(manifest, pd.DataFrame) else read_manifest(Path(manifest), mapping)
    origin = "manifest" if isinstance(manifest, pd.DataFrame) else manifest
    missing = [column for column in ("status", "sha256", "pixels_sha256", "group") if column not in table]
    if missing:
        raise ManifestError(origin, f"lacks the columns {missing}", _AUDIT_FIRST)
    if "part" not in table:
        config = SplitConfig(**settings)
        return split(table, config), {"protocol": config.protocol, "fold": config.fold}
    if useless := sorted(set(settings) - {"seed"}):
        remedy = "Leave it out, or give the manifest of `brainsift audit`."
        raise UsageError(", ".join(useless), f"{origin} is split already", remedy)
    return table, {"protocol": None, "fold": None}


def check(manifest: pd.DataFrame, protocol: Protocol = "grouped") -> None:
    """Makes sure that nothing leaks: no group, patient, file or image content stands in two subsets.

    Args:
        manifest: with the column `part`.
        protocol: the protocol it was made with; `random` leaks by design and is not checked.

    Raises:
        ManifestError: a leak, or a name that is no subset.
    """
    unknown = sorted(set(manifest["part"]) - {*PARTS, ""})
    if unknown:
        remedy = f"Write one of {', '.join(PARTS)}, or nothing for an image that is left out."
        raise ManifestError("part", f"holds {unknown}", remedy)
    if is_leaky(protocol):
        return
    used = manifest[manifest["part"] != ""]
    for column in ("group", "patient", "sha256", "pixels_sha256"):
        keys = _named(used, column)
        parts = used["part"][keys != ""].groupby(keys[keys != ""]).nunique()
        if (parts > 1).any():
            rule = f"{int((parts > 1).sum())} values of `{column}` stand in more than one subset, such as "
            raise ManifestError("part", f"{rule}{parts.idxmax()!r}", "Split again with the protocol `grouped`.")


def twin_counts(manifest: pd.DataFrame) -> dict[str, float]:
    """Counts the test rows that have a twin in the training set.

    Args:
        manifest: with the column `part`; hashes and groups as the audit fills them.

    Returns:
        `test`, the number of test rows; then number and share (0 to 1) of those with the same file (`same_file`,
        `same_file_share`), the same decoded pixels (`same_pixels`, ...) or the same group (`same_group`, ...) in
        the training set. A kind of twin whose column is missing is left out.
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


def _text(rows: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column as text without gaps; "" everywhere where the manifest lacks it."""
    if column not in rows:
        return pd.Series("", index=rows.index, dtype=TEXT)
    return pd.Series(["" if pd.isna(value) else str(value) for value in rows[column]], index=rows.index, dtype=TEXT)


def _named(rows: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column as text; patients together with their source: two hospitals may both have a patient 1."""
    values = _text(rows, column)
    if column != "patient":
        return values
    return (_text(rows, "source") + "\0" + values).where(values != "", "")


def _candidates(manifest: pd.DataFrame, config: SplitConfig) -> pd.DataFrame:
    """Returns the rows that may take part, in an order that depends on their content only.

    The index counts the rows of `manifest`. Added columns: `picture` (equal for equal pixels), `cluster` (the number of
    the joined group).
    """
    rows = manifest.reset_index(drop=True)
    wanted = {*config.sources, *config.hold_out}
    if absent := sorted(wanted - set(rows["source"])):
        rule = f"must be among {sorted(set(rows['source']))}, not {absent}"
        raise UsageError("sources", rule, "Choose sources of the manifest.")
    keep = rows["label"].notna()
    if "status" in rows:
        keep &= rows["status"] == "ok"
    if config.sources:
        keep &= rows["source"].isin(wanted)
    rows = rows[keep]
    if rows.empty:
        raise ManifestError("manifest", "no row has a label and the status ok", "Check the labels and the audit.")
    rows = rows.loc[_order(rows)]
    pixels, files, paths = (_text(rows, column) for column in ("pixels_sha256", "sha256", "path"))
    content = pixels.where(pixels != "", files.where(files != "", paths))
    return rows.assign(picture=content + "\0" + _text(rows, "channel"), cluster=_clusters(rows))


def _order(rows: pd.DataFrame) -> pd.Index:
    """Sorts rows with a mask or a patient first, then by source, file name, content and path."""
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
    """Joins rows that share a group, a patient, a file or the same pixels, over any number of steps.

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
    """Keeps one row per distinct image and none in conflict; adds `stratum`: its label and the sources that have it."""
    grouped = rows.groupby("picture", sort=False)
    conflict = _text(rows, "flags").str.split(";").map(lambda flags: "conflict" in flags)
    conflict |= grouped["label"].transform("nunique") > 1
    origin = rows["picture"].map(grouped["source"].agg(lambda sources: "+".join(sorted(set(sources)))))
    strata = rows["label"].astype(int).astype(str) + " " + origin
    return rows.assign(stratum=strata)[~conflict & ~rows.duplicated("picture")]


def _fold_numbers(rows: pd.DataFrame, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Distributes the clusters over folds that are alike in label and source.

    Returns:
        (n,) number of the fold of each row.
    """
    _require_groups(rows, folds)
    per_stratum = rows.groupby("stratum")["cluster"].nunique()
    rare = rows["stratum"].map(per_stratum) < folds
    strata = rows["stratum"].where(~rare, rows["label"].astype(int).astype(str) + " " + _RARE)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    numbers = np.zeros(len(rows), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, taken) in enumerate(splitter.split(rows, strata, rows["cluster"])):
            numbers[taken] = number
    return numbers


def _groups_per_label(rows: pd.DataFrame) -> dict[float, int]:
    counts = rows.groupby("label")["cluster"].nunique()
    return {label: int(counts.get(label, 0)) for label in (0.0, 1.0)}


def _require_groups(rows: pd.DataFrame, folds: int) -> None:
    no_tumor, tumor = _groups_per_label(rows).values()
    if min(no_tumor, tumor) < folds:
        rule = f"{tumor} independent groups with tumor and {no_tumor} without are too few for {folds} subsets"
        raise ManifestError("manifest", rule, "Add images of more patients, or use fewer folds.")


def _train_or_validation(rows: pd.DataFrame, config: SplitConfig) -> pd.Series:
    """Returns "train" or "validation" for rows outside of the test set."""
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
    """Draws clusters that bring the test set to a wanted number of patients of a source."""
    patients = _text(rows, "patient").where(rows["source"] == source, "")
    per_cluster = patients[~test & (patients != "")].groupby(rows["cluster"]).nunique()
    missing = wanted - patients[test & (patients != "")].nunique()
    if missing > per_cluster.sum():
        rule = f"must be at most {patients[patients != ''].nunique()} for {source}, the patients it names, not {wanted}"
        raise UsageError("test_patients", rule, "Choose a smaller number.")
    drawn = per_cluster.sample(frac=1, random_state=seed)
    enough = drawn.cumsum().shift(fill_value=0) < missing
    return drawn.index[enough].to_numpy()


def _source_out(rows: pd.DataFrame, config: SplitConfig) -> pd.Series:
    held = rows["source"].isin(config.hold_out)
    # The test set stays the whole source; what resembles it leaves training and validation.
    near = rows["cluster"].isin(set(rows["cluster"][held]))
    test = _distinct(rows[held])
    if near.all():
        rule = f"has only images of {', '.join(config.hold_out)}, and copies of them: nothing is left to train on"
        raise ManifestError("manifest", rule, "Audit other sources together with it.")
    return pd.concat([_train_or_validation(_distinct(rows[~near]), config), pd.Series("test", index=test.index)])


def _random(rows: pd.DataFrame, config: SplitConfig) -> pd.Series:
    try:
        train, rest = train_test_split(rows, test_size=_BASELINE_REST, stratify=rows["label"], random_state=config.seed)
        validation, test = train_test_split(
            rest, test_size=_BASELINE_TEST, stratify=rest["label"], random_state=config.seed
        )  # fmt: skip
    except ValueError as error:
        raise ManifestError(
            "manifest", f"has too few images to split ({error})", "Add images of both classes."
        ) from None
    parts = zip(PARTS, (train, validation, test), strict=True)
    return pd.concat([pd.Series(part, index=taken.index) for part, taken in parts])


_PROTOCOLS = {"grouped": _grouped, "random": _random, "source-out": _source_out}
