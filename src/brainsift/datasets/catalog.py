"""Image collections by name: a folder or a list on disk becomes records.

A record is one row of a manifest with the columns `manifest.SOURCE_COLUMNS`. Nothing is decoded here.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brainsift.core.errors import SourceError, UsageError
from brainsift.core.labels import NO_TUMOR, TUMOR, UNKNOWN, label_from_name
from brainsift.core.walk import IMAGE_SUFFIXES, is_image_name, walk
from brainsift.datasets.csv_table import TEXT, read_table
from brainsift.datasets.labelling import Labelling, Ruling
from brainsift.datasets.manifest import SOURCE_COLUMNS, refuse_conflicts
from brainsift.images.masks import read_annotations

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
# Folders beside or below the images of a class that hold masks; their files are no images of that class.
_MASK_FOLDERS = frozenset(["mask", "masks", "annotation", "annotations", "segmentation", "segmentations", "outlines"])
_CHENG_PLANES = Path(__file__).with_name("cheng_planes.csv")
_ANNOTATIONS = Path("Br35H-Mask-RCNN") / "annotations_all.json"
_SEARCH_DEPTH = 3
_NAMED = 10  # folders that a message lists
_NO_STATEMENT = "none stated; research use, do not redistribute"

_log = logging.getLogger(__name__)

Record = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A kind of image collection.

    Attributes:
        name: its name on the command line.
        description: one line.
        licence: as its authors state it.
        kaggle: its handle on Kaggle, where `fetch` can get it in the layout that `read` expects, or None.
        read: folder (or CSV file), value of the column `source`, and the user's rules -> records.
    """

    name: str
    description: str
    licence: str
    kaggle: str | None
    read: Callable[[Path, str, Labelling], list[Record]]


@dataclass(frozen=True)
class SourceSpec:
    """A collection on this disk: the name to give to it, its path, and its kind ("" where the name tells)."""

    name: str
    path: Path
    kind: str = ""


def parse_spec(text: str) -> SourceSpec:
    """Reads ``NAME=PATH`` or ``PATH``.

    Args:
        text: NAME is a key of SOURCES, or any name to give to a folder with one folder per class or to a CSV file.
            A PATH alone is such a folder or file, and is named after itself.

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


def collect(specs: Sequence[str | SourceSpec], mapping: Mapping[str, Ruling] | Labelling | None = None) -> pd.DataFrame:
    """Lists the images of one or more collections; to merge collections is to name them together.

    Args:
        specs: collections, as `parse_spec` reads them.
        mapping: labels of names that brainsift does not know, such as ``{"sain": 0, "gliome*": 1, "pred": "skip"}``;
            see `labelling.Labelling`. Every entry has to match something, unless a `Labelling` is given.

    Returns:
        A table with SOURCE_COLUMNS, sorted by source, path and channel; paths are absolute. An image that is listed
        more than once is kept once, as the first collection describes it.

    Raises:
        SourceError: a collection is missing or lacks its layout, or a folder does not tell the label of its images.
        ManifestError: a CSV file breaks its contract, or an image has two labels or two patients.
        UsageError: no collection, or a mapping that is of no use.
    """
    if not specs:
        raise UsageError("DATA", "no image collection was given", "Name at least one, such as br35h=data/br35h.")
    labelling = mapping if isinstance(mapping, Labelling) else Labelling(mapping or {})
    records: list[Record] = []
    for spec in (parse_spec(spec) if isinstance(spec, str) else spec for spec in specs):
        records += _read(spec, labelling)
    table = pd.DataFrame(records, columns=list(SOURCE_COLUMNS), dtype=object)
    table = table.astype({column: float if column == "label" else TEXT for column in SOURCE_COLUMNS})
    labelling.correct(table)
    if labelling is not mapping:
        labelling.refuse_unused()
    refuse_conflicts(table, "DATA")
    repeated = table.duplicated(["path", "channel"])
    if repeated.any():
        _log.warning("%d images are listed more than once; each is kept once", int(repeated.sum()))
    return table[~repeated].sort_values(["source", "path", "channel"], kind="stable", ignore_index=True)


def contrast_from_name(name: str) -> str:
    """Reads the contrast from the name of a folder or source; "" where it says nothing.

    >>> contrast_from_name("brats13_t1ce"), contrast_from_name("Glioblastoma T1C+"), contrast_from_name("yes")
    ('t1ce', 't1ce', '')
    """
    found = [_CONTRASTS[word] for word in re.split(r"[\s_.-]+", name.lower()) if word in _CONTRASTS]
    return found[-1] if found else ""


def _is_list(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv") and not path.is_dir()


def _kind(path: Path) -> str:
    return "csv" if _is_list(path) else "folder"


def _read(spec: SourceSpec, labelling: Labelling) -> list[Record]:
    if not spec.path.exists():
        known = f" ({spec.name} is a known source: write {spec.path}=PATH)" if str(spec.path) in SOURCES else ""
        raise SourceError(spec.path, "no such folder or CSV file" + known, "Check the path, or see `brainsift fetch`.")
    kind = spec.kind or (spec.name if spec.name in SOURCES else _kind(spec.path))
    if kind == "folder" and not spec.path.is_dir():
        raise SourceError(spec.path, "is neither a folder nor a CSV file", "Give a folder, or a list named *.csv.")
    records = SOURCES[kind].read(Path(os.path.normpath(spec.path.absolute())), spec.name, labelling)
    if not records:
        remedy = f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}; `calibrate` takes DICOM slices listed in a CSV."
        raise SourceError(spec.path, "holds no image", remedy)
    return records


def _record(
    path: Path | str, source: str, label: float, *, channel: str = "", patient: str = "", contrast: str = "",
    plane: str = "", kind: str = "", mask: str = "",
) -> Record:  # fmt: skip
    values = (str(path), channel, source, float(label), patient, contrast, plane, kind, mask)
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
    handle = SOURCES[source].kaggle
    fetch = f", or fetch it: brainsift fetch {source} (Kaggle {handle})" if handle else ""
    rule = f"lacks the layout of `{source}`: no folder with {' and '.join(wanted)}"
    raise SourceError(folder, rule, f"Give the unpacked collection as {source}=FOLDER{fetch}.")


def _read_br35h(folder: Path, name: str, _labelling: Labelling) -> list[Record]:
    found = _locate(folder, ("yes", "no"), "br35h")
    annotations = found["yes"].parent / _ANNOTATIONS
    masked = read_annotations(annotations) if annotations.is_file() else {}
    records = [_record(path, name, NO_TUMOR) for path in _images(found["no"])]
    for path in _images(found["yes"]):
        mask = f"{annotations}#{path.name}" if path.name in masked else ""
        records.append(_record(path, name, TUMOR, mask=mask))
    return records


def _read_preet(folder: Path, name: str, _labelling: Labelling) -> list[Record]:
    found = _locate(folder, ("Brain Tumor", "Healthy"), "preet")
    tumor = [_record(path, name, TUMOR) for path in _images(found["Brain Tumor"])]
    return tumor + [_record(path, name, NO_TUMOR) for path in _images(found["Healthy"])]


def _read_cheng(folder: Path, name: str, _labelling: Labelling) -> list[Record]:
    columns = ("image", "mask", "tumor_type", "patient")
    table = read_table(_locate(folder, ("patients.csv",), "cheng")["patients.csv"], columns, required=columns)
    planes = _cheng_planes()
    return [
        _record(
            row.image,
            name,
            TUMOR,
            patient=row.patient,
            contrast="t1ce",
            plane=planes.get(Path(row.image).stem, ""),
            kind=row.tumor_type,
            mask=row.mask,
        )
        for row in table.itertuples()
    ]


def _cheng_planes() -> dict[str, str]:
    """Returns the plane of each image by the number that its author gave it.

    The collection does not state it. It was told from the pictures: k-means clusters named by eye, a classifier
    trained on them, its least certain 650 images checked by eye. Five images that stayed unclear are left out.
    """
    runs = read_table(_CHENG_PLANES, ("first", "last", "plane"), required=("first", "last", "plane"))
    return {str(number): run.plane for run in runs.itertuples() for number in range(int(run.first), int(run.last) + 1)}


def _read_lgg(folder: Path, name: str, labelling: Labelling) -> list[Record]:
    file = _locate(folder, ("slices.csv",), "lgg")["slices.csv"]
    columns = ("image", "mask", "patient", "label", "channels")
    table = read_table(file, columns, required=columns)
    table["label"] = labelling.of_cells(table["label"], file)
    return [
        _record(
            row.image,
            name,
            row.label,
            channel=_LGG_CHANNELS[contrast],
            patient=row.patient,
            contrast=contrast,
            plane="axial",
            mask=row.mask,
        )
        for row in table.itertuples()
        for contrast in row.channels.split("+")
        if contrast in _LGG_CHANNELS
    ]


def _read_kinds44(folder: Path, name: str, _labelling: Labelling) -> list[Record]:
    root = _locate(folder, ("NORMAL T1", "NORMAL T2"), "kinds44")["NORMAL T1"].parent
    records = []
    for place in sorted(path for path in root.iterdir() if path.is_dir()):
        kind, _, contrast = place.name.rpartition(" ")
        if not kind or not contrast_from_name(contrast):
            _log.warning("%r: left out, its name is not KIND CONTRAST", str(place))
            continue
        normal = kind.casefold() == "normal"
        label, kind = (NO_TUMOR, "") if normal else (TUMOR, kind)
        records += [
            _record(path, name, label, contrast=contrast_from_name(contrast), kind=kind) for path in _images(place)
        ]
    return records


def _read_folder(folder: Path, name: str, labelling: Labelling) -> list[Record]:
    """Reads a folder with one folder per class: the folder that holds an image tells its label, no folder above it."""
    records: list[Record] = []
    silent, masks, others = Counter[str](), 0, list[Path]()

    def wanted(path: Path) -> bool:
        if not is_image_name(path):
            others.append(path)
        return is_image_name(path)

    for path in walk(folder, wanted):
        if not is_image_name(path):
            _log.warning("%r: left out, this folder may not be read", str(path))
            continue
        places = path.parent.relative_to(folder).parts[::-1]
        if any(place.casefold() in _MASK_FOLDERS for place in places):
            masks += 1
            continue
        label = labelling.of_file(path, folder)
        if label is None and places:
            label = label_from_name(places[0])
        if label is None:
            silent[path.parent.relative_to(folder).as_posix() if places else folder.name] += 1
        elif label != "skip":
            contrast = next(filter(None, map(contrast_from_name, places)), "")
            records.append(_record(path, name, label, contrast=contrast))
    if silent:
        raise _no_class(folder, silent)
    if masks:
        _log.warning("%r: %d files in folders of masks are left out", str(folder), masks)
    if records and others:
        _log.warning(
            "%r: %d files that are no images are left out, such as %r", str(folder), len(others), others[0].name
        )
    return records


def _no_class(folder: Path, silent: Mapping[str, int]) -> SourceError:
    names = list(silent)
    listed = ", ".join(f"{name!r} ({silent[name]} images)" for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return SourceError(
        folder,
        f"these folders do not say whether their images show a tumor: {listed}{more}",
        f"Say it for each: --map '{names[0]}=1' (1 tumor, 0 no tumor, skip to leave its images out), or by names of "
        "files: --map 'yes_*=1'. A folder further out does not count; --map 'glioma/*=1' covers the folders in it. Or "
        'rename the folders, such as "tumor" and "no_tumor", or give a CSV file with the columns path and label; a '
        f"known source is written NAME=PATH with NAME one of {[name for name in SOURCES if name != 'folder']}.",
    )


def _read_csv(file: Path, name: str, labelling: Labelling, default_label: float = UNKNOWN) -> list[Record]:
    table = read_table(file, SOURCE_COLUMNS)
    table["label"] = labelling.of_cells(table["label"], file) if "label" in table else default_label
    for row in table.index[table["label"].isna()] if labelling.rules else ():
        ruling = labelling.of_file(Path(table["path"][row]), file.parent)
        if ruling is not None and ruling != "skip":
            table.loc[row, "label"] = ruling
    missing = [path for path in table["path"] if not os.path.isfile(path)]
    if missing and len(missing) == len(table):
        raise SourceError(file, f"none of its files is there, such as {missing[0]}", "Paths count from the CSV file.")
    if missing:
        _log.warning("%r: %d of %d files are not there, such as %r", str(file), len(missing), len(table), missing[0])
    columns = [column for column in SOURCE_COLUMNS if column in table]
    records = []
    for row in table[columns].to_dict("records"):
        source = row.get("source") or name
        contrast = row.get("contrast") or contrast_from_name(source)
        records.append(_record(**{**row, "source": source, "contrast": contrast}))
    return records


def _list_reader(
    source: str, file: str, default_label: float = UNKNOWN
) -> Callable[[Path, str, Labelling], list[Record]]:
    def read(path: Path, name: str, labelling: Labelling) -> list[Record]:
        found = path if os.path.isfile(path) else _locate(path, (file,), source)[file]
        return _read_csv(found, name, labelling, default_label)

    return read


_BR35H = "ahmedhamada0/brain-tumor-detection"
_PREET = "preetviradiya/brian-tumor-dataset"
_KINDS44 = "fernando2rad/brain-tumor-mri-images-44c"
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("br35h", "Br35H 2020: 1500 slices with tumor, 1500 without", _NO_STATEMENT, _BR35H, _read_br35h),
        Source("preet", "Brian Tumor Dataset: 2513 with tumor, 2087 healthy", _NO_STATEMENT, _PREET, _read_preet),
        Source("cheng", "Jun Cheng's T1 with contrast: three kinds of tumor, masks", "CC BY 4.0", None, _read_cheng),
        Source("lgg", "TCGA-LGG: both classes of one patient, masks", "TCGA data usage policy", None, _read_lgg),
        Source("kinds44", "44 folders: 13 kinds of tumor and normal, T1, T1C+, T2", _NO_STATEMENT, _KINDS44,
               _read_kinds44),
        Source("tumor_free", "slices without tumor of six collections; old age, white-matter lesions, MS",
               "CC BY 4.0 (MS); none stated", None, _list_reader("tumor_free", "manifest.csv", NO_TUMOR)),
        Source("more", "three planes: glioma; without tumor stroke, MS, healthy heads",
               "CC0 (stroke); research use; none stated", None, _list_reader("more", "manifest.csv")),
        Source("external", "for validation only, never for training: hospitals that stand nowhere else",
               "as its sources", None, _list_reader("external", "manifest.csv")),
        Source("phantom", "slices drawn by brainsift", "free of rights", None,
               _list_reader("phantom", "phantoms.csv")),
        Source("folder", "any folder with one folder per class", "as its owner says", None, _read_folder),
        Source("csv", "a CSV file: path[,source,label,patient,channel,contrast,plane,kind,mask]",
               "as its owner says", None, _read_csv),
    )
}  # fmt: skip
