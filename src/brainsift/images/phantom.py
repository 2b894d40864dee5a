"""Drawn head slices with and without a drawn tumor, with masks: for the demo and for tests.

Both classes come from the same generator: head, contrast, size, brightness, noise and small bright spots vary in the
same way, and nothing but the drawn tumor tells them apart. Everything follows from the seed.
"""

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.core.errors import UsageError
from brainsift.core.files import replacing, write_text
from brainsift.core.labels import CLASS_NAMES

CONTRASTS = ("t1", "t1ce", "t2", "flair")
COLUMNS = ("path", "source", "label", "patient", "contrast", "mask")
MANIFEST = "phantoms.csv"

_Floats = npt.NDArray[np.float32]
_Rng = np.random.Generator
_Waves = tuple[tuple[float, float], ...]  # amplitude and phase of 2, 3, ... waves around an outline
_Ellipse = tuple[float, float, float, float, float]  # x, y, half width, half height, tilt in radians
_COPIES = ("exact", "encoded", "mirrored")
_COPY_SHARE = 0.1  # of the written images
_SIZES = (160, 192, 224, 256)

# Brightness of tissue as contrasts show it, in schematic form: fluid is dark in T1 and FLAIR and bright in T2.
_TISSUES: dict[str, dict[str, float]] = {
    "t1": {"skull": 0.06, "fluid": 0.12, "grey": 0.42, "white": 0.62, "deep": 0.47, "spot": 0.52},
    "t1ce": {"skull": 0.06, "fluid": 0.13, "grey": 0.42, "white": 0.55, "deep": 0.44, "spot": 0.50},
    "t2": {"skull": 0.05, "fluid": 0.95, "grey": 0.55, "white": 0.36, "deep": 0.43, "spot": 0.70},
    "flair": {"skull": 0.05, "fluid": 0.08, "grey": 0.52, "white": 0.41, "deep": 0.47, "spot": 0.78},
}
_TUMORS: dict[str, dict[str, float]] = {
    "t1": {"core": 0.16, "rim": 0.30, "oedema": 0.40},
    "t1ce": {"core": 0.22, "rim": 0.98, "oedema": 0.40},
    "t2": {"core": 0.94, "rim": 0.66, "oedema": 0.80},
    "flair": {"core": 0.40, "rim": 0.82, "oedema": 0.88},
}


@dataclass(frozen=True, eq=False)
class Phantom:
    """A drawn slice.

    Attributes:
        pixels: (height, width) uint8.
        mask: (height, width) bool, the drawn tumor without the oedema around it; all False without one.
        contrast: "t1", "t1ce", "t2" or "flair".
    """

    pixels: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    contrast: str


@dataclass(frozen=True)
class _Blob:
    """A roundish outline: lengths are shares of the head's half height."""

    x: float
    y: float
    radius: float
    waves: _Waves


@dataclass(frozen=True)
class _Subject:
    """One drawn head at one level; slices of a patient differ from it slightly."""

    contrast: str
    aspect: float  # width over height
    fill: float  # half height over half the image
    shift: tuple[float, float]  # of the centre, in halves of the image
    turn: float  # radians
    outline: _Waves
    fat: float  # brightness of the scalp: often the brightest, so that a bright tumor does not set the scale alone
    skull: float  # thickness of everything outside the brain
    folds: float  # how deep the cortex reaches
    ventricles: float
    texture: int  # seed of what varies from place to place
    spots: tuple[_Blob, ...]
    tumor: _Blob
    solid: float  # 0: ring around a core; 1: filled
    oedema: float  # radius over the tumor's
    gain: float
    gamma: float
    bias: float
    noise: float


def draw(seed: int, *, tumor: bool, size: int = 192) -> Phantom:
    """Draws one slice.

    Args:
        seed: the same seed and size give the same pixels; with and without tumor the same head.
        tumor: whether to draw one.
        size: side in pixels.

    Returns:
        The slice with its mask.

    >>> drawn = draw(1, tumor=True)
    >>> drawn.pixels.shape, bool(drawn.mask.any()), draw(1, tumor=False).mask.any().item()
    ((192, 192), True, False)
    """
    rng = np.random.default_rng(seed)
    return _slice(_subject(rng), rng, tumor, size)


def write_phantoms(folder: Path, *, count: int = 240, seed: int = 0) -> Path:
    """Writes a small collection with what real collections have: patients, formats, copies.

    One image in ten is a copy of another one (byte for byte, encoded anew, or mirrored) without its patient.

    Args:
        folder: gets ``tumor/``, ``no_tumor/``, ``masks/`` and ``phantoms.csv``.
        count: images in all, copies among them; about half of them with a tumor.
        seed: the same seed and count give the same files.

    Returns:
        The path of ``phantoms.csv``: path, source, label, patient, contrast, mask (paths relative to the folder).

    Raises:
        UsageError: ``count`` is below 2.
    """
    if count < 2:
        raise UsageError("count", f"must be at least 2, not {count}", "Ask for more phantoms.")
    rng = np.random.default_rng(seed)
    originals = list(itertools.islice(_patients(rng), count - round(_COPY_SHARE * count)))
    picks = rng.integers(len(originals), size=count - len(originals))
    copies = [_copied(originals[pick], _COPIES[turn % 3], turn) for turn, pick in enumerate(picks)]
    return _write_files(folder, originals + copies)


@dataclass(frozen=True, eq=False)
class _File:
    """One image to be written."""

    name: str
    content: bytes
    phantom: Phantom
    patient: str

    @property
    def label(self) -> int:
        return int(self.phantom.mask.any())


def _patients(rng: _Rng) -> Iterator[_File]:
    """Yields slices: two to four per patient; one patient has a tumor, the next has none."""
    for number in itertools.count():
        subject, size = _subject(rng), int(rng.choice(_SIZES))
        suffix, colour = str(rng.choice((".png", ".jpg"))), rng.random() < 0.2
        for level in range(int(rng.integers(2, 5))):
            phantom = _slice(_neighbour(subject, rng) if level else subject, rng, number % 2 == 0, size)
            content = _encoded(phantom.pixels, suffix, colour=colour)
            yield _File(f"p{number:03d}_{level}{suffix}", content, phantom, f"p{number:03d}")


def _copied(file: _File, kind: str, number: int) -> _File:
    stem, suffix = f"c{number:03d}_{kind}", Path(file.name).suffix
    phantom, content = file.phantom, file.content
    if kind == "encoded":
        suffix, content = ".jpg", _encoded(phantom.pixels, ".jpg", quality=60)
    if kind == "mirrored":
        phantom = replace(phantom, pixels=phantom.pixels[:, ::-1], mask=phantom.mask[:, ::-1])
        suffix, content = ".png", _encoded(phantom.pixels, ".png")
    return _File(stem + suffix, content, phantom, "")


def _encoded(pixels: npt.NDArray[np.uint8], suffix: str, *, colour: bool = False, quality: int = 90) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB" if colour else "L")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if suffix == ".jpg" else "PNG", quality=quality)
    return buffer.getvalue()


def _write_files(folder: Path, files: list[_File]) -> Path:
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    for file in files:
        path, mask = f"{CLASS_NAMES[file.label]}/{file.name}", ""
        _write_bytes(folder / path, file.content)
        if file.label:
            mask = f"masks/{Path(file.name).stem}.png"
            _write_bytes(folder / mask, _encoded(file.phantom.mask.astype(np.uint8) * np.uint8(255), ".png"))
        rows.writerow((path, "phantom", file.label, file.patient, file.phantom.contrast, mask))
    write_text(folder / MANIFEST, table.getvalue())
    return folder / MANIFEST


def _write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _subject(rng: _Rng) -> _Subject:
    side = rng.choice((-1.0, 1.0))
    angle = rng.uniform(-1.2, 1.2)
    distance = rng.uniform(0.28, 0.52)
    tumor = _Blob(side * distance * np.cos(angle), distance * np.sin(angle) * 1.2, rng.uniform(0.15, 0.28), _waves(rng))
    return _Subject(
        contrast=str(rng.choice(CONTRASTS)),
        aspect=rng.uniform(0.74, 0.86),
        fill=rng.uniform(0.72, 0.93),
        shift=(rng.uniform(-0.06, 0.06), rng.uniform(-0.05, 0.05)),
        turn=rng.normal(0, 0.08),
        outline=tuple((rng.normal(0, 0.009), rng.uniform(0, 2 * np.pi)) for _ in range(3)),
        fat=rng.uniform(0.7, 1.1),
        skull=rng.uniform(0.13, 0.19),
        folds=rng.uniform(0.12, 0.26),
        ventricles=rng.uniform(0.5, 1.25),
        texture=int(rng.integers(2**31)),
        spots=tuple(_spot(rng) for _ in range(rng.poisson(2.0))),
        tumor=tumor,
        solid=float(rng.choice((0.0, 0.35, 1.0))),
        oedema=rng.uniform(1.2, 1.9),
        gain=rng.uniform(0.6, 1.0),
        gamma=rng.uniform(0.8, 1.25),
        bias=rng.uniform(0.0, 0.25),
        noise=rng.uniform(0.008, 0.04),
    )


def _waves(rng: _Rng) -> _Waves:
    return tuple((rng.normal(0, 0.09 / order), rng.uniform(0, 2 * np.pi)) for order in range(1, 5))


def _spot(rng: _Rng) -> _Blob:
    """Small spots in the white matter occur in both classes: bright is not yet tumor."""
    return _Blob(
        rng.choice((-1.0, 1.0)) * rng.uniform(0.12, 0.42),
        rng.uniform(-0.5, 0.5),
        rng.uniform(0.012, 0.035),
        _waves(rng),
    )


def _neighbour(subject: _Subject, rng: _Rng) -> _Subject:
    """Returns the same head a few millimetres on."""
    return replace(
        subject,
        tumor=replace(subject.tumor, radius=subject.tumor.radius * rng.uniform(0.8, 1.1)),
        fill=subject.fill * rng.uniform(0.95, 1.0),
        ventricles=subject.ventricles * rng.uniform(0.8, 1.15),
        folds=subject.folds * rng.uniform(0.85, 1.15),
        spots=tuple(spot for spot in subject.spots if rng.random() < 0.7),
    )


@dataclass(frozen=True, eq=False)
class _Places:
    """Where pixels lie in the head: x to the right and y down from its centre, 1 at its vertex."""

    x: _Floats
    y: _Floats
    pixel: float  # length of a pixel's side


def _slice(subject: _Subject, rng: _Rng, tumor: bool, size: int) -> Phantom:
    places = _places(subject, size)
    image, brain = _head(subject, places, _pushed(places, subject.tumor) if tumor else places)
    mask = _add_tumor(image, brain, subject, places) if tumor else np.zeros((size, size), bool)
    return Phantom(_scanned(image, subject, rng), mask, subject.contrast)


def _places(subject: _Subject, size: int) -> _Places:
    line = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    x, y = (line[None, :] - subject.shift[0]) / subject.fill, (line[:, None] - subject.shift[1]) / subject.fill
    cosine, sine = np.float32(np.cos(subject.turn)), np.float32(np.sin(subject.turn))
    return _Places(cosine * x + sine * y, cosine * y - sine * x, 2 / size / subject.fill)


def _pushed(places: _Places, tumor: _Blob) -> _Places:
    """Returns where the tissue at each place came from before the tumor pushed it aside."""
    dx, dy = places.x - tumor.x, places.y - tumor.y
    distance = np.sqrt(dx * dx + dy * dy) + 1e-3
    push = 0.45 * tumor.radius * np.exp(-((distance / (2.2 * tumor.radius)) ** 2)) / distance
    return replace(places, x=places.x - dx * push, y=places.y - dy * push)


def _head(subject: _Subject, places: _Places, tissue: _Places) -> tuple[_Floats, _Floats]:
    """Returns the head without tumor (0 to 1), and how much of each pixel is brain."""
    tone, inner, pixel = _TISSUES[subject.contrast], subject.skull, places.pixel
    depth = _depth(subject, places)
    image = _inside(-depth, pixel) * np.float32(subject.fat)
    _paint(image, tone["skull"], _inside(0.4 * inner - depth, pixel))
    _paint(image, tone["fluid"], _inside(0.8 * inner - depth, pixel))
    brain = _inside(inner - depth, pixel)
    _paint(image, tone["grey"], brain)
    _paint_brain(image, subject, tissue, inner - _depth(subject, tissue))
    if subject.contrast == "t1ce":  # the great vein at the back takes up contrast in everyone
        _paint(image, 0.95, _ellipse(places, (0, 1 - 0.75 * inner, 0.05, 0.03, 0)))
    return image, brain


def _paint_brain(image: _Floats, subject: _Subject, tissue: _Places, outside: _Floats) -> None:
    """Paints the brain from its folds inward; ``outside`` is the distance from its surface, negative inside."""
    tone, pixel = _TISSUES[subject.contrast], tissue.pixel
    # Furrows wind along the zero line of smooth noise, and get rarer with depth.
    winding, wander = (_texture(subject.texture + n, image.shape, cells) for n, cells in ((0, 19), (1, 9)))
    furrows = np.abs(winding) * 0.13 + 0.30 * np.clip(-outside - subject.folds, 0, None)
    _paint(image, tone["white"], _inside(outside + 0.05 + 0.02 * wander, 0.02) * _inside(0.05 - furrows, 0.03))
    _paint(image, tone["fluid"], 0.9 * _inside(furrows - 0.012, 0.02) * _inside(outside, pixel))
    cleft = np.maximum(np.abs(tissue.x + 0.01 * wander) - 0.014, 0.42 - np.abs(tissue.y + 0.05))
    _paint(image, tone["fluid"], _inside(cleft, pixel) * _inside(outside, pixel))
    for organ, shapes in _organs(subject.ventricles):
        for shape in shapes:
            _paint(image, tone[organ], np.maximum(_ellipse(tissue, shape), _ellipse(tissue, shape, side=-1)))
    for spot in subject.spots:
        _paint(image, tone["spot"], _inside(_blob(spot, tissue), 2 * pixel) * _inside(outside + 0.12, pixel))


def _organs(width: float) -> tuple[tuple[str, tuple[_Ellipse, ...]], ...]:
    """Returns deep nuclei, then lateral and third ventricles of some width, of the right side."""
    return (
        ("deep", ((0.13, 0.10, 0.075, 0.12, -0.4), (0.26, -0.04, 0.055, 0.15, -0.3))),
        ("fluid", ((0.085, -0.20, 0.045 * width, 0.15, 0.35), (0.17, 0.30, 0.045 * width, 0.15, -0.45))),
        ("fluid", ((0.0, 0.06, 0.014 * width, 0.09, 0.0),)),
    )


def _add_tumor(image: _Floats, brain: _Floats, subject: _Subject, places: _Places) -> npt.NDArray[np.bool_]:
    """Paints edema, rim and core into the image, and returns the mask of rim and core."""
    tone, tumor = _TUMORS[subject.contrast], subject.tumor
    wander = _texture(subject.texture + 2, image.shape, 12)
    distance = _blob(tumor, places)
    swollen = distance - (subject.oedema - 1) * tumor.radius * (1 + 0.6 * wander)
    whole = _inside(distance, 1.5 * places.pixel) * brain
    core = _inside(distance + tumor.radius * (0.28 + 0.12 * wander), 2 * places.pixel) * brain
    _paint(image, tone["oedema"], 0.85 * _inside(swollen, 0.05) * brain)
    _paint(image, tone["rim"], whole)
    filling = tone["core"] + subject.solid * (tone["rim"] - tone["core"])
    _paint(image, filling + 0.12 * wander, core)
    return whole > 0.5


def _depth(subject: _Subject, places: _Places) -> _Floats:
    """Returns about how deep each place lies below the skin, in half heights; below 0 outside of the head."""
    x = places.x / np.float32(subject.aspect)
    surface = _waving(subject.outline, np.arctan2(places.y, x))
    return np.asarray(surface - np.sqrt(x * x + places.y**2), np.float32) * np.float32(0.9)


def _blob(blob: _Blob, places: _Places) -> _Floats:
    """Returns the distance from the outline of a blob, below 0 inside."""
    dx, dy = places.x - np.float32(blob.x), places.y - np.float32(blob.y)
    around = _waving(blob.waves, np.arctan2(dy, dx))
    return np.asarray(np.sqrt(dx * dx + dy * dy) - blob.radius * around, np.float32)


def _waving(waves: _Waves, angle: _Floats) -> _Floats:
    """Returns a circle of radius 1 with two, three, ... waves on it, at some angles."""
    radius = np.ones_like(angle)
    for order, (amplitude, phase) in enumerate(waves, start=2):
        radius += np.float32(amplitude) * np.cos(order * angle + np.float32(phase))
    return radius


def _ellipse(places: _Places, shape: _Ellipse, *, side: int = 1) -> _Floats:
    x, y, width, height, tilt = shape
    dx, dy = side * places.x - x, places.y - y
    across, along = np.cos(tilt) * dx + np.sin(tilt) * dy, np.cos(tilt) * dy - np.sin(tilt) * dx
    distance = (np.sqrt((across / width) ** 2 + (along / height) ** 2) - 1) * min(width, height)
    return _inside(np.asarray(distance, np.float32), 1.5 * places.pixel)


def _inside(distance: _Floats, softness: float) -> _Floats:
    """Returns 1 where the distance is below 0, 0 above, with a ramp as wide as ``softness``."""
    return np.clip(0.5 - distance / softness, 0, 1).astype(np.float32)


def _paint(image: _Floats, tone: float | _Floats, cover: _Floats) -> None:
    image += (tone - image) * cover


def _texture(seed: int, shape: tuple[int, ...], cells: int) -> _Floats:
    """Returns smooth noise around 0, with about one hill per cell."""
    hills = np.random.default_rng(seed).normal(0, 1, (cells, cells)).astype(np.float32)
    smooth = Image.fromarray(hills).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(smooth), -2, 2).astype(np.float32) / 2


def _scanned(image: _Floats, subject: _Subject, rng: _Rng) -> npt.NDArray[np.uint8]:
    """Adds what a scanner adds: bias field, texture, Rician noise, and a choice of window."""
    image = image * (1 + subject.bias * _texture(subject.texture + 3, image.shape, 3))
    image *= 1 + 0.05 * _texture(subject.texture + 4, image.shape, 48)
    image = np.clip(image, 0, None) ** subject.gamma * subject.gain
    real = image + rng.normal(0, subject.noise, image.shape)
    noisy = np.hypot(real, rng.normal(0, subject.noise, image.shape))
    return np.clip(noisy * 255 + 0.5, 0, 255).astype(np.uint8)
