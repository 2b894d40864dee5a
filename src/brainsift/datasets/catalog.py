"""Image collections by name: a folder or a list on disk becomes records.

A record is one row of a manifest with the columns `manifest.SOURCE_COLUMNS`. Nothing is decoded here.
"""

import logging
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from brainsift.core.errors import SourceError, UsageError
from brainsift.core.labels import NO_TUMOR, TUMOR, UNKNOWN, label_from_name
from brainsift.core.walk import IMAGE_SUFFIXES, is_image_name, walk
from brainsift.datasets.manifest import SOURCE_COLUMNS
from brainsift.images.masks import load_mask, read_annotations

__all__ = ["SOURCES", "ReadOptions", "Source", "SourceSpec", "collect", "contrast_from_name", "load_mask", "parse_spec"]

_CONTRASTS = {
    "t1": "t1",
    "t1c": "t1ce",
    "t1c+": "t1ce",
    "t1ce": "t1ce",
    "t1gd": "t1ce",
    "t2": "t2",
    "flair": "flair",
}
# The colour channels of a TCGA-LGG file, in the words of its `channels` column.
_LGG_CHANNELS = {"t1": "R", "flair": "G", "t1ce": "B"}
# Folders beside or below the images of a class that hold outlines; their files are no images of that class.
_OUTLINE_FOLDERS = frozenset(
    ["mask", "masks", "annotation", "annotations", "segmentation", "segmentations", "outlines"]
)
_ANNOTATIONS = Path("Br35H-Mask-RCNN") / "annotations_all.json"
_SEARCH_DEPTH = 3
_NO_STATEMENT = "none stated; research use, do not redistribute"

_log = logging.getLogger(__name__)

Record = dict[str, Any]


@dataclass(frozen=True)
class ReadOptions:
    """What a reader is told besides the folder.

    Attributes:
        name: the value of the column `source`.
        mapping: labels (1, 0) of class names that `labels.label_from_name` does not know.
        unlabelled: whether images without a label are wanted (the `pred` folder of br35h).
    """

    name: str
    mapping: Mapping[str, int] = field(default_factory=dict)
    unlabelled: bool = False

    def label_of(self, name: str) -> int | None:
        """Returns the label of a class name, or None; the mapping goes first."""
        return self.mapping.get(name.strip().casefold(), label_from_name(name))


@dataclass(frozen=True)
class Source:
    """A kind of image collection.

    Attributes:
        name: how it is called on the command line.
        description: one line.
        licence: as its authors state it.
        kaggle: its handle on Kaggle, where `fetch` can get it in the layout that `read` expects, or None.
        read: folder (or CSV file) and options -> records.
    """

    name: str
    description: str
    licence: str
    kaggle: str | None
    read: Callable[[Path, ReadOptions], list[Record]]


@dataclass(frozen=True)
class SourceSpec:
    """A collection on this disk: the name to give to it, its path, and its kind ("" where the name tells)."""

    name: str
    path: Path
    kind: str = ""


def parse_spec(text: str) -> SourceSpec:
    """Reads ``NAME=PATH`` or ``PATH``.

    Args:
        text: NAME is a key of SOURCES, or any name to give to a folder with one folder a class or to a CSV manifest.
            A PATH alone is such a folder or manifest, and is named after itself.

    Raises:
        UsageError: an empty name or path.

    >>> parse_spec("br35h=data/br35h").name, parse_spec("scans/mine.csv").name
    ('br35h', 'mine')
    """
    name, separator, path = text.partition("=")
    if not separator or Path(text).expanduser().exists():
        name, path = "", text
    if not path.strip() or (separator and name != name.strip()) or text.startswith("="):
        raise UsageError(text, "is neither NAME=PATH nor PATH", "Write for example br35h=data/br35h.")
    folder = Path(path).expanduser()
    if name in ("", "folder", "csv"):
        return SourceSpec(folder.stem if _is_list(folder) else folder.resolve().name, folder, name or _kind(folder))
    return SourceSpec(name, folder)


def collect(
    specs: Sequence[str | SourceSpec], mapping: Mapping[str, int] | None = None, *, unlabelled: bool = False
) -> pd.DataFrame:
    """Lists the images of one or more collections; to merge collections is to name them together.

    Args:
        specs: collections, as `parse_spec` reads them.
        mapping: labels (1 tumor, 0 no tumor) of class names that brainsift does not know.
        unlabelled: also take the images that a known source keeps apart without a label.

    Returns:
        A table with SOURCE_COLUMNS, sorted by source, path and channel; paths are absolute. An image that two
        collections list under the same path is kept once, as the first collection describes it.

    Raises:
        SourceError: a collection that is missing or lacks its layout.
        UsageError: no collection, or a mapping to something that is no label.
    """
    if not specs:
        raise UsageError("DATA", "no image collection was given", "Name at least one, such as br35h=data/br35h.")
    names = {name.strip().casefold(): _checked_label(name, label) for name, label in (mapping or {}).items()}
    records: list[Record] = []
    for spec in (parse_spec(spec) if isinstance(spec, str) else spec for spec in specs):
        records += _read(spec, ReadOptions(spec.name, names, unlabelled))
    table = pd.DataFrame(records, columns=list(SOURCE_COLUMNS)).astype({"label": float})
    repeated = table.duplicated(["path", "channel"])
    if repeated.any():
        _log.warning("%d images are listed by more than one collection; each is kept once", int(repeated.sum()))
    return table[~repeated].sort_values(["source", "path", "channel"], kind="stable", ignore_index=True)


def contrast_from_name(name: str) -> str:
    """Reads the contrast from the name of a folder or source; "" where it says nothing.

    >>> contrast_from_name("brats13_t1ce"), contrast_from_name("Glioblastoma T1C+"), contrast_from_name("yes")
    ('t1ce', 't1ce', '')
    """
    found = [_CONTRASTS[word] for word in re.split(r"[\s_.-]+", name.lower()) if word in _CONTRASTS]
    return found[-1] if found else ""


def _checked_label(name: str, label: int) -> int:
    if label not in (NO_TUMOR, TUMOR):
        raise UsageError(name, f"is mapped to {label!r}, which is no label", "Map it to 1 (tumor) or 0 (no tumor).")
    return int(label)


def _is_list(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and not path.is_dir()


def _kind(path: Path) -> str:
    return "csv" if _is_list(path) else "folder"


def _read(spec: SourceSpec, options: ReadOptions) -> list[Record]:
    if not spec.path.exists():
        known = f" ({spec.name} is a known source: write {spec.path}=PATH)" if str(spec.path) in SOURCES else ""
        raise SourceError(spec.path, "no such folder or CSV file" + known, "Check the path, or see `brainsift fetch`.")
    kind = spec.kind or (spec.name if spec.name in SOURCES else _kind(spec.path))
    if kind == "folder" and not spec.path.is_dir():
        raise SourceError(spec.path, "is neither a folder nor a CSV file", "Hand over a folder, or a list named *.csv.")
    records = SOURCES[kind].read(Path(os.path.normpath(spec.path.absolute())), options)
    if not records:
        remedy = f"Pictures end in {', '.join(sorted(IMAGE_SUFFIXES))}; `calibrate` takes DICOM slices listed in a CSV."
        raise SourceError(spec.path, "holds no image", remedy)
    return records


def _record(
    path: Path, source: str, label: float, *, channel: str = "", patient: str = "", contrast: str = "", kind: str = "",
    mask: str = "",
) -> Record:  # fmt: skip
    values = (str(path), channel, source, float(label), patient, contrast, kind, mask)
    return dict(zip(SOURCE_COLUMNS, values, strict=True))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name[0] != "." and is_image_name(path) and path.is_file())


def _locate(folder: Path, wanted: Sequence[str], source: str) -> dict[str, Path]:
    """Finds the entries `wanted` of one folder, here or up to three levels below: archives nest their content."""
    level = [folder] if folder.is_dir() else []
    for _ in range(_SEARCH_DEPTH + 1):
        below: list[Path] = []
        for place in level:
            entries = {path.name.casefold(): path for path in sorted(place.iterdir())}
            if all(name.casefold() in entries for name in wanted):
                return {name: entries[name.casefold()] for name in wanted}
            below += [path for path in entries.values() if path.is_dir() and not path.name.startswith(".")]
        level = below
    raise SourceError(folder, f"lacks the layout of `{source}`: no folder with {' and '.join(wanted)}", _remedy(source))


def _remedy(source: str) -> str:
    handle = SOURCES[source].kaggle
    fetch = f", or fetch it: brainsift fetch {source} (Kaggle {handle})" if handle else ""
    return f"Hand over the unpacked collection as {source}=FOLDER{fetch}."


def _table(path: Path, required: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SourceError(path, f"is no readable CSV file ({error})", "Save it as UTF-8 text with a header.") from None
    missing = [column for column in required if column not in table]
    if missing:
        raise SourceError(path, f"lacks the columns {missing}", f"Needed: {list(required)}; found: {list(table)}.")
    return table


def _within(folder: Path, relative: str) -> Path:
    return Path(os.path.normpath(folder / relative))


def _mask_within(folder: Path, relative: str) -> str:
    return str(_within(folder, relative)) if relative else ""


def _read_br35h(folder: Path, options: ReadOptions) -> list[Record]:
    found = _locate(folder, ("yes", "no"), "br35h")
    root = found["yes"].parent
    annotations = root / _ANNOTATIONS
    outlined = read_annotations(annotations) if annotations.is_file() else {}
    records = [_record(path, options.name, NO_TUMOR) for path in _images(found["no"])]
    for path in _images(found["yes"]):
        mask = f"{annotations}#{path.name}" if path.name in outlined else ""
        records.append(_record(path, options.name, TUMOR, mask=mask))
    if options.unlabelled and (root / "pred").is_dir():
        records += [_record(path, options.name, UNKNOWN) for path in _images(root / "pred")]
    return records


def _read_preet(folder: Path, options: ReadOptions) -> list[Record]:
    found = _locate(folder, ("Brain Tumor", "Healthy"), "preet")
    tumor = [_record(path, options.name, TUMOR) for path in _images(found["Brain Tumor"])]
    return tumor + [_record(path, options.name, NO_TUMOR) for path in _images(found["Healthy"])]


def _read_cheng(folder: Path, options: ReadOptions) -> list[Record]:
    file = _locate(folder, ("patients.csv",), "cheng")["patients.csv"]
    rows = _table(file, ("image", "mask", "tumor_type", "patient")).itertuples()
    return [
        _record(
            _within(file.parent, row.image),
            options.name,
            TUMOR,
            patient=row.patient,
            contrast="t1ce",
            kind=row.tumor_type,
            mask=_mask_within(file.parent, row.mask),
        )
        for row in rows
    ]


def _read_lgg(folder: Path, options: ReadOptions) -> list[Record]:
    file = _locate(folder, ("slices.csv",), "lgg")["slices.csv"]
    rows = _table(file, ("image", "mask", "patient", "label", "channels")).itertuples()
    return [
        _record(
            _within(file.parent, row.image),
            options.name,
            _label_value(file, row.label, options),
            channel=_LGG_CHANNELS[contrast],
            patient=row.patient,
            contrast=contrast,
            mask=_mask_within(file.parent, row.mask),
        )
        for row in rows
        for contrast in row.channels.split("+")
        if contrast in _LGG_CHANNELS
    ]


def _read_kinds44(folder: Path, options: ReadOptions) -> list[Record]:
    root = _locate(folder, ("NORMAL T1", "NORMAL T2"), "kinds44")["NORMAL T1"].parent
    records = []
    for place in sorted(path for path in root.iterdir() if path.is_dir()):
        kind, _, contrast = place.name.rpartition(" ")
        if not kind or not contrast_from_name(contrast):
            _log.warning("%s: left out, its name is not KIND CONTRAST", place)
            continue
        normal = kind.casefold() == "normal"
        label, kind = (NO_TUMOR, "") if normal else (TUMOR, kind)
        records += [
            _record(path, options.name, label, contrast=contrast_from_name(contrast), kind=kind)
            for path in _images(place)
        ]
    return records


def _read_folder(folder: Path, options: ReadOptions) -> list[Record]:
    records: list[Record] = []
    unknown: dict[str, int] = {}
    for path in walk(folder, is_image_name):
        if not is_image_name(path):
            _log.warning("%s: left out, this folder may not be read", path)
            continue
        # The class is the nearest folder with the name of one: Training/glioma/patient 3/scan.png is a glioma.
        places = path.parent.relative_to(folder).parts[::-1]
        labels = [label for label in map(options.label_of, places) if label is not None]
        if not labels or any(place.casefold() in _OUTLINE_FOLDERS for place in places):
            place = path.parent.relative_to(folder).as_posix()
            unknown[place] = unknown.get(place, 0) + 1
            continue
        contrast = next(filter(None, map(contrast_from_name, places)), "")
        records.append(_record(path, options.name, labels[0], contrast=contrast))
    if unknown:
        _report_unknown(folder, unknown, recognised=bool(records))
    return records


def _report_unknown(folder: Path, unknown: Mapping[str, int], *, recognised: bool) -> None:
    names = ", ".join(f"{name!r} ({count} images)" for name, count in list(unknown.items())[:10])
    more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
    if recognised:
        _log.warning("%s: folders that name no class are left out: %s%s", folder, names, more)
        return
    raise SourceError(
        folder,
        f"no folder names a class; found {names}{more}",
        'Rename them, such as "tumor" and "no_tumor", or hand over a CSV file with the columns path and label '
        "(1 tumor, 0 no tumor); "
        f"a known source is written NAME=PATH with NAME one of {[name for name in SOURCES if name != 'folder']}.",
    )


def _read_csv(file: Path, options: ReadOptions, default_label: float = UNKNOWN) -> list[Record]:
    table = _table(file, ("path",))
    records = [_listed(file, row, options, default_label) for row in table.to_dict("records")]
    missing = [record["path"] for record in records if not Path(record["path"]).is_file()]
    if missing and len(missing) == len(records):
        raise SourceError(file, f"none of its files is there, such as {missing[0]}", "Paths count from the CSV file.")
    if missing:
        _log.warning("%s: %d of %d files are not there, such as %s", file, len(missing), len(records), missing[0])
    return records


def _listed(file: Path, row: Record, options: ReadOptions, default_label: float) -> Record:
    source = row.get("source") or options.name
    return _record(
        _within(file.parent, row["path"]),
        source,
        _label_value(file, row["label"], options) if "label" in row else default_label,
        channel=row.get("channel", ""),
        patient=row.get("patient", ""),
        contrast=row.get("contrast") or contrast_from_name(source),
        kind=row.get("kind", ""),
        mask=_mask_within(file.parent, row.get("mask", "")),
    )


def _label_value(file: Path, text: str, options: ReadOptions) -> float:
    if not text.strip():
        return UNKNOWN
    named = options.label_of(text)
    if named is not None:
        return float(named)
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if value not in (NO_TUMOR, TUMOR) and not math.isnan(value):
        raise SourceError(file, f"holds the label {text!r}", "A label is 1 (tumor), 0 (no tumor) or empty.")
    return value


def _list_reader(source: str, file: str, default_label: float = UNKNOWN) -> Callable[[Path, ReadOptions], list[Record]]:
    def read(path: Path, options: ReadOptions) -> list[Record]:
        found = path if path.is_file() else _locate(path, (file,), source)[file]
        return _read_csv(found, options, default_label)

    return read


_BR35H = "ahmedhamada0/brain-tumor-detection"
_PREET = "preetviradiya/brian-tumor-dataset"
_KINDS44 = "fernando2rad/brain-tumor-mri-images-44c"
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("br35h", "Br35H 2020: 1500 slices with tumor, 1500 without", _NO_STATEMENT, _BR35H, _read_br35h),
        Source("preet", "Brian Tumor Dataset: 2513 with tumor, 2087 healthy", _NO_STATEMENT, _PREET, _read_preet),
        Source("cheng", "Jun Cheng's T1 with contrast: three kinds of tumor, outlines", "CC BY 4.0", None, _read_cheng),
        Source("lgg", "TCGA-LGG: both classes of one patient, outlines", "TCGA data usage policy", None, _read_lgg),
        Source("kinds44", "44 folders: 13 kinds of tumor and normal, T1, T1C+, T2", _NO_STATEMENT, _KINDS44,
               _read_kinds44),
        Source("tumor_free", "slices without tumor of six collections; old age, white-matter lesions, MS",
               "CC BY 4.0 (MS); none stated", None, _list_reader("tumor_free", "manifest.csv", NO_TUMOR)),
        Source("external", "for validation only, never for training: hospitals that stand nowhere else",
               "as its sources", None, _list_reader("external", "manifest.csv")),
        Source("phantom", "slices drawn by brainsift", "free of rights", None,
               _list_reader("phantom", "phantoms.csv")),
        Source("folder", "any folder with one folder a class", "as its owner says", None, _read_folder),
        Source("csv", "a CSV manifest: path[,source,label,patient,channel,contrast,kind,mask]", "as its owner says",
               None, _read_csv),
    )
}  # fmt: skip
