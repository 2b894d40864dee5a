"""How an image was made, where no training image was made so: its header says it, or the name of its file.

A network knows tumors in the contrasts that it was trained on. In others, such as diffusion or proton density, its
result may be wrong, and nothing in the picture says so.
"""

import math
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from brainsift.volumes.dicom_header import b_value_of, component_of, number_of, plain_text_of, text_of, times_of

if TYPE_CHECKING:
    from pydicom import Dataset

_DIFFUSION, _PERFUSION, _ANGIOGRAPHY = "diffusion", "perfusion", "angiography"
_BOLD, _FLOW, _PROTON_DENSITY = "functional imaging (BOLD)", "flow imaging", "proton density"
_T2_STAR, _SUSCEPTIBILITY, _EPI = "T2* gradient echo", "susceptibility imaging", "echo planar imaging"
_TRANSFER, _STIR, _MAP = "magnetization transfer", "short-tau inversion recovery (STIR)", "a computed map"
_FIELD_MAP, _PHASE = "a field map", "a phase image"
_MIP, _MINIP = "a maximum intensity projection", "a minimum intensity projection"
_TYPES = {
    "LOCALIZER": "a localizer",
    "MIP": _MIP,
    "MAX_IP": _MIP,
    "MINIP": _MINIP,
    "MNIP": _MINIP,
    "MIN_IP": _MINIP,
    "PROJECTION IMAGE": "a projection of several slices",
    "MPR": "reformatted from another plane",
    "ADC": "a map of the diffusion coefficient (ADC)",
    "FA": "a map of the diffusion anisotropy (FA)",
    "T1MAP": "a map of T1",
    "T1 MAP": "a map of T1",
    "T2MAP": "a map of T2",
    "T2 MAP": "a map of T2",
    "FIELDMAP": _FIELD_MAP,
    "FIELD MAP": _FIELD_MAP,
    "P": _PHASE,
    "PHASE": _PHASE,
    "PHASE MAP": _PHASE,
    "IMAGINARY": "the imaginary part of an image",
}
_ANY_CONTRAST = (_TYPES["LOCALIZER"], _TYPES["MPR"])
# Acquisition Contrast, DICOM PS3.3, C.8.13.3.1.2, and values of Image Type beside it.
_STANDARD = {
    "DIFFUSION": _DIFFUSION,
    "TRACEW": _DIFFUSION,
    "PERFUSION": _PERFUSION,
    "ASL": _PERFUSION,
    "FMRI": _BOLD,
    "FLOW_ENCODED": _FLOW,
    "VELOCITY": _FLOW,
    "TOF": _ANGIOGRAPHY,
    "ANGIO": _ANGIOGRAPHY,
    "T2_STAR": _T2_STAR,
    "STIR": _STIR,
    "PROTON_DENSITY": _PROTON_DENSITY,
}
_VIEW = "(?:AX|AXI|COR|SAG|TRA|TRANS|EP2D|EP|2D|3D)?"  # what is written in front of a word without a space
_NOT_AFTER = "".join(f"(?<!{word} )" for word in ("POST", "AFTER", "APRES", "NACH"))  # T1 after perfusion


class _Kind(NamedTuple):
    """A kind of image, and the words that name it.

    Attributes:
        name: in plain words.
        words: alternatives of a regular expression, in capital letters without accents.
        echo_ms: the echo times that it has, where its words alone do not tell it; T1 and FLAIR then contradict them.
    """

    name: str
    words: str
    echo_ms: tuple[float, float] | None = None


_KINDS = (
    _Kind("spectroscopy", r"MRSI?|CSI|SVS|E?SPECTRO\w*|SPEKTRO\w*"),
    _Kind(_BOLD, r"BOLD|R?S?FMRI|RESTING ?STATE"),
    _Kind(
        _PERFUSION,
        rf"{_NOT_AFTER}(?:PERF|PERFU[SZ]\w*)|PWI|DSC|DCE|P?C?ASL|R?CBF|R?CBV|MTT|TTP|TMAX",
    ),
    _Kind(_DIFFUSION, r"DWI?|DTI|DKI|DIFF|DIFU\w*|DIFFU\w*|TRACEW?|E?ADC|B\d{3,4}|RESOLVE|\d+ ?DIR(?:ECTIONS)?"),
    _Kind(_SUSCEPTIBILITY, r"(?:PRE)?SWIP?|SWAN|QSM"),
    _Kind(_ANGIOGRAPHY, r"TOF|(?:CE|PC)?MRA|MRV|PCA|ANGIO\w*|VENOGRA\w*|TRICKS|TWIST"),
    _Kind(_FLOW, r"(?:4D|Q)?FLOW(?! ?COMP)|PHASE CONTRAST"),
    _Kind(_TRANSFER, r"MTC|MTR|MTSAT|MT (?:ON|OFF)|MAGNETI[SZ]ATION TRANSFER"),
    _Kind("double inversion recovery", r"DIR|DOUBLE (?:INVERSION|IR)\w*"),
    _Kind(_STIR, r"STIR"),
    _Kind("steady-state imaging", r"CISS|FIESTA|B ?FFE|TRUFI|TRUE ?FISP|SSFP"),
    _Kind("elastography", r"MRE|ELASTO\w*"),
    _Kind(_FIELD_MAP, r"(?:FIELD|B[01]) ?MAP\w*"),
    _Kind(_MAP, r"T[12] ?MAP\w*|T1RHO"),
    _Kind(_MIP, r"MIP"),
    _Kind(_MINIP, r"MINIP|MNIP"),
    _Kind(_T2_STAR, r"T2 ?STAR\w*|T2 (?:FL[23]D|FFE|GRE)"),
    _Kind(_T2_STAR, r"GRE|FFE|HA?EMO\w*|MEDIC|MERGE", (10, math.inf)),
    _Kind(_PROTON_DENSITY, r"PD(?:W|WI|FS|T2)?|T2PD|DPW?|PROTON\w*|DENSIT[YEA]|DENSIDADE?", (0, 50)),
)
_T1_OR_FLAIR = rf"\b{_VIEW}(?:T1\w*|\w*FLAIR\w*|MP2?RAGE|F?SPGR|BRAVO|VIBE)\b|DARK ?FLUID"
_T2 = rf"\b{_VIEW}T2(?!STAR| ?MAP)\w*\b"
_LONG_REPETITION_MS = 1500
_SHORT_ECHO_MS = 40
_LONG_GRADIENT_ECHO_MS = 15
# Suffixes of file names, https://bids-specification.readthedocs.io; `swi` and `trace` are usual beside them.
_SUFFIXES = {
    _DIFFUSION: "dwi adc fa trace tracew",
    _BOLD: "bold cbv",
    _EPI: "epi sbref",
    _PERFUSION: "asl m0scan",
    _PROTON_DENSITY: "pdw pd pdt2",  # of the two volumes of PDT2, the first is read
    _T2_STAR: "t2starw t2star megre",
    _SUSCEPTIBILITY: "swi",
    _ANGIOGRAPHY: "angio",
    _TRANSFER: "mtr mts mtrmap mtsat",
    _MAP: "t1map r1map t2map r2map t2starmap r2starmap pdmap m0map s0map mwfmap mtvmap chimap t1rho",
    _PHASE: "phase phase1 phase2 phasediff",
    _FIELD_MAP: "magnitude magnitude1 magnitude2 fieldmap",
}
_OF_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def contrast_note(kind: str) -> str:
    """Says that no training image was made as an image was.

    >>> contrast_note("diffusion (b = 1000)")
    'made as diffusion (b = 1000): the network was trained on T1, T2 and FLAIR only'
    """
    return f"made as {kind}: the network was trained on T1, T2 and FLAIR only"


def image_type(header: "Dataset") -> str:
    """Returns what the type of an image says that it is, where it is no slice as it was acquired; "" otherwise."""
    types = [*_types(header, 0), component_of(header).upper()]
    return next((_TYPES[word] for word in types if word in _TYPES), "")


def other_contrast(header: "Dataset") -> str:
    """Returns how an image was made, where that is neither T1, T2 nor FLAIR; "" for these, and where nothing says it.

    What counts is, in this order: the type of the image; a b-value; Acquisition Contrast; the words of the description
    of the series, or those of the protocol where the description has none; and times.

    By the times, a spin echo without inversion is proton density where the repetition time is 1500 ms or more and the
    echo time 40 ms or less. So the two echoes of one series are told apart. A gradient echo of 15 ms or more is T2*.

    Args:
        header: of one frame, as `flat_header` gives it.

    Source:
        Long repetition time and short echo time make proton density: Nitz and Reimer, Eur Radiol 9:1032, 1999. A
        repetition time is usually long from 1500 ms on, an echo time short below 30 ms and long from 90 ms on: IMAIOS
        e-MRI, "Signal weighting". T2* by long echo times: Chavhan et al., RadioGraphics 29:1433, 2009.
    """
    kind = image_type(header)
    if kind and kind not in _ANY_CONTRAST:
        return kind
    text = _description(header)
    has_t1, has_t2 = _holds(_T1_OR_FLAIR, text), _holds(_T2, text)
    contrast = plain_text_of(header, "AcquisitionContrast").upper().strip()
    has_t1, has_t2 = has_t1 or contrast in ("T1", "FLUID_ATTENUATED"), has_t2 or contrast == "T2"
    echo_ms = times_of(header).get("TE", 0.0)
    named = [_STANDARD[word] for word in (contrast, *_types(header, 2)) if word in _STANDARD]
    found = [*(kind for kind in _KINDS if kind.name in named), *_named(text)]
    fitting = [one.name for one in found if one.echo_ms is None or (not has_t1 and _fits(echo_ms, one.echo_ms))]
    b_value = b_value_of(header) or 0.0
    # Makers keep it in places that hold other numbers in other images.
    is_sure = number_of(header, "DiffusionBValue") > 0 or _DIFFUSION in fitting or not (has_t1 or has_t2)
    if b_value > 0 and is_sure:
        return f"{_DIFFUSION} (b = {b_value:g})"
    return next(iter(fitting), "") or ("" if has_t1 else _by_times(header, echo_ms, has_t2=has_t2))


def contrast_of_name(path: str | Path) -> str:
    """Returns how a volume was made, by the suffix of its name in BIDS, where that is neither T1, T2 nor FLAIR.

    >>> contrast_of_name("sub-01_acq-fast_PDw.nii.gz"), contrast_of_name("sub-01_T1w.nii.gz")
    ('proton density, by its name', '')
    """
    suffix = contrast_suffix(path)
    return f"{_OF_SUFFIX[suffix]}, by its name" if suffix else ""


def contrast_suffix(path: str | Path) -> str:
    """Returns the part of a name that `contrast_of_name` goes by, in small letters; "" where there is none.

    >>> contrast_suffix("sub-01_acq-fast_PDw.nii.gz")
    'pdw'
    """
    found = re.search(r"_([A-Za-z0-9]+)(?:\.[A-Za-z]+){1,2}$", Path(path).name)
    return found[1].lower() if found and found[1].lower() in _OF_SUFFIX else ""


def _types(header: "Dataset", first: int) -> list[str]:
    """Returns the words of the two types of an image from the place ``first`` on."""
    words = [word.upper() for tag in ("ImageType", "FrameType") for word in text_of(header, tag).split("/")[first:]]
    return list(dict.fromkeys(words))


def _description(header: "Dataset") -> str:
    """Returns the words that describe the series.

    A protocol may be that of the whole study: then its name lists several kinds of images, and says nothing of one.
    """
    series, protocol = (_plain(text_of(header, tag)) for tag in ("SeriesDescription", "ProtocolName"))
    if _named(series) or _holds(_T1_OR_FLAIR, series) or _holds(_T2, series):
        return series
    named = {kind.name for kind in _named(protocol)}
    several = len(named) + sum(_holds(pattern, protocol) for pattern in (_T1_OR_FLAIR, _T2)) > 1
    return "" if several else protocol


@lru_cache(maxsize=256)  # the slices of a series have the same words
def _plain(text: str) -> str:
    """Returns words in capital letters without accents, divided by single spaces."""
    letters = unicodedata.normalize("NFKD", re.sub(r"(T2)[ _]?\*", r"\1STAR ", text.upper()))
    return " ".join(re.findall(r"[A-Z0-9]+", "".join(one for one in letters if not unicodedata.combining(one))))


@lru_cache(maxsize=256)
def _named(text: str) -> tuple[_Kind, ...]:
    return tuple(kind for kind in _KINDS if _holds(rf"\b{_VIEW}(?:{kind.words})(?:[23]D)?\b", text))


def _holds(pattern: str, text: str) -> bool:
    return _compiled(pattern).search(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compiles a pattern when it is first needed: all of them take 6 ms, and plain pictures need none."""
    return re.compile(pattern)


def _fits(echo_ms: float, allowed_ms: tuple[float, float]) -> bool:
    return not echo_ms or allowed_ms[0] <= echo_ms <= allowed_ms[1]


def _by_times(header: "Dataset", echo_ms: float, *, has_t2: bool) -> str:
    """Returns the kind by the sequence and its times, for `other_contrast`."""
    sequences = set(re.findall("[A-Z]+", plain_text_of(header, "ScanningSequence").upper()))
    enhanced = {  # of files of many frames
        "SE": plain_text_of(header, "EchoPulseSequence") == "SPIN",
        "GR": plain_text_of(header, "EchoPulseSequence") == "GRADIENT",
        "EP": plain_text_of(header, "EchoPlanarPulseSequence") == "YES",
        "IR": plain_text_of(header, "InversionRecovery") == "YES" or times_of(header).get("TI", 0.0) > 0,
    }
    sequences |= {name for name, holds in enhanced.items() if holds}
    if "EP" in sequences and not has_t2:
        return f"{_EPI}, by its sequence"
    if not echo_ms or sequences & {"IR", "EP"}:
        return ""
    is_long = number_of(header, "RepetitionTime") >= _LONG_REPETITION_MS
    if "SE" in sequences and is_long and echo_ms <= _SHORT_ECHO_MS:
        return f"{_PROTON_DENSITY}, by its times"
    return f"{_T2_STAR}, by its times" if sequences == {"GR"} and echo_ms >= _LONG_GRADIENT_ECHO_MS else ""
