"""Drawn files of each format, and mutations of them that know how the format is built: for `fuzz.py`.

A mutation takes a file apart (chunks, segments, directories, elements, fields of a header), changes one to four of its
parts, and puts it together again. In most cases lengths and checksums are then made right again, so that the change
gets past the first check of a decoder. All of it follows from the seed and the number of the case.
"""

import csv
import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    MRImageStorage,
    RLELossless,
)

from brainsift.images.phantom import draw

FORMATS = ("png", "jpeg", "tiff", "dicom", "nifti", "zip", "csv")
SIDE = 96
_REPAIRED = 0.7  # of the cases have right checksums and lengths
_ODD = (0, 1, 2, 3, 7, 8, 15, 16, 24, 32, 64, 127, 128, 255, 256, 4095, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1)
_HUGE = (2**31, 2**32 - 1, 2**32, 2**63 - 1)


@dataclass(frozen=True)
class Case:
    """A mutated file.

    Attributes:
        number: of the case.
        format: one of FORMATS.
        name: of the file; its suffix is that of the format.
        content: of the file.
        made: from what, and how.
    """

    number: int
    format: str
    name: str
    content: bytes
    made: str


@dataclass(frozen=True)
class Base:
    """A drawn file without a fault."""

    name: str
    content: bytes


def make_case(seed: int, number: int, formats: Sequence[str] = FORMATS) -> Case:
    """Makes a case; one in fifty has no mutation, to see that what is sound is still read."""
    rng = random.Random(f"{seed}-{number}")
    kind = rng.choice(formats)
    base = rng.choice(bases(kind))
    content, made = base.content, "as drawn"
    if rng.random() >= 0.02:
        content, words = _mutated(rng, kind, base)
        made = "; ".join(words)
    stem, dot, suffix = base.name.partition(".")
    return Case(number, kind, f"{number:06d}-{stem}{dot}{suffix}", content, f"{base.name}: {made}")


@lru_cache
def bases(kind: str) -> list[Base]:
    """Draws the files of a format."""
    return {"png": _pngs, "jpeg": _jpegs, "tiff": _tiffs, "dicom": _dicoms, "nifti": _niftis, "zip": _zips,
            "csv": _csvs}[kind]()  # fmt: skip


def _mutated(rng: random.Random, kind: str, base: Base) -> tuple[bytes, list[str]]:
    if kind == "nifti" and base.name.endswith(".gz"):
        return _mutated_gzip(rng, base.content)
    mutate = {"png": _mutated_png, "jpeg": _mutated_jpeg, "tiff": _mutated_tiff, "dicom": _mutated_dicom,
              "nifti": _mutated_nifti, "zip": _mutated_zip, "csv": _mutated_csv}[kind]  # fmt: skip
    if rng.random() < 0.1:
        return _mutated_bytes(rng, base.content)
    return mutate(rng, base.content)


def _mutated_bytes(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    """Changes bytes anywhere, cuts the end off, empties it, or adds to it."""
    changed = bytearray(content)
    way = rng.randrange(6)
    place = rng.randrange(len(changed))
    if way == 0:
        del changed[place:]
        return bytes(changed), [f"cut at {place}"]
    if way == 1:
        changed[place:] = bytes(len(changed) - place)
        return bytes(changed), [f"zeros from {place}"]
    if way == 2:
        changed += rng.choice((bytes(1000), rng.randbytes(1000), content))
        return bytes(changed), ["more after its end"]
    if way == 3:
        size = rng.choice((1, 2, 3, 4, 8, 100))
        del changed[place : place + size]
        return bytes(changed), [f"{size} bytes gone at {place}"]
    if way == 4:
        changed[place:place] = rng.randbytes(rng.choice((1, 2, 3, 4, 8, 100)))
        return bytes(changed), [f"bytes put in at {place}"]
    places = [rng.randrange(len(changed)) for _ in range(rng.choice((1, 1, 2, 8, 64)))]
    for one in places:
        changed[one] = _byte(rng, changed[one])
    return bytes(changed), [f"bytes changed at {places[:8]}"]


def _byte(rng: random.Random, old: int) -> int:
    return rng.choice((0, 1, 0x7F, 0x80, 0xFF, old ^ 1, old ^ 0x80, rng.randrange(256)))


def _number(rng: random.Random, old: int, size: int) -> int:
    """Returns an odd value for an unsigned field of some bytes."""
    top = 256**size
    nearby = (old + 1, old - 1, old * 2, old // 2, old * 256, ~old)
    return rng.choice((*_ODD, *_HUGE, *nearby, rng.randrange(top))) % top


def _some(rng: random.Random) -> int:
    return rng.choice((1, 1, 1, 2, 3, 4))


def _altered(rng: random.Random, data: bytes) -> bytes:
    """Changes, cuts, empties or lengthens the data of a part."""
    changed = bytearray(data)
    way = rng.randrange(5)
    if way == 0 or not changed:
        return bytes(changed + rng.choice((b"\0", bytes(64), rng.randbytes(16))))
    place = rng.randrange(len(changed))
    if way == 1:
        return bytes(changed[:place])
    if way == 2:
        return bytes(changed[:place] + bytes(len(changed) - place))
    for one in [place, *(rng.randrange(len(changed)) for _ in range(rng.choice((0, 0, 1, 4))))]:
        changed[one] = _byte(rng, changed[one])
    return bytes(changed)


def _field(rng: random.Random, data: bytes, fields: Sequence[tuple[int, int]], order: str) -> tuple[bytes, str]:
    """Gives one field, (offset, bytes), an odd value; ``order`` is "big" or "little"."""
    place, size = rng.choice([one for one in fields if sum(one) <= len(data)] or [(0, 0)])
    old = int.from_bytes(data[place : place + size], order)  # type: ignore[arg-type]
    new = _number(rng, old, size) if size else 0
    return (
        data[:place] + new.to_bytes(size, order) + data[place + size :],  # type: ignore[arg-type]
        f"field {place}: {old} to {new}",
    )


def _parts_moved(rng: random.Random, parts: list[bytes] | list[tuple[bytes, bytes]]) -> str:
    """Drops, doubles, swaps or repeats parts in place; says which."""
    at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    way = rng.randrange(4)
    if way == 0 and len(parts) > 1:
        del parts[at]
        return f"part {at} gone"
    if way == 1:
        parts[at], parts[other] = parts[other], parts[at]  # type: ignore[call-overload]
        return f"parts {at} and {other} swapped"
    times = rng.choice((1, 1, 2, 300)) if way == 2 else 1
    parts[other:other] = [parts[at]] * times  # type: ignore[list-item]
    return f"part {at} {times} times more"


# PNG


def _pixels(seed: int = 3) -> np.ndarray:
    return draw(seed, tumor=True, size=SIDE).pixels


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _pngs() -> list[Base]:
    grey = Image.fromarray(_pixels())
    wide = Image.fromarray(_pixels().astype(np.uint16) * 256)
    clear = grey.convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(_pixels() > 20, 255, 0).astype(np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = 6
    others = [Image.fromarray(_pixels(seed)) for seed in (4, 5)]
    made = {
        "grey": _saved(grey, "PNG"),
        "rgb": _saved(grey.convert("RGB"), "PNG"),
        "rgba": _saved(clear, "PNG"),
        "palette": _saved(grey.convert("P"), "PNG", transparency=0),
        "bits": _saved(grey.convert("1"), "PNG"),
        "wide": _saved(wide, "PNG"),
        "turned": _saved(grey, "PNG", exif=exif, dpi=(300, 300)),
        "animated": _saved(grey, "PNG", save_all=True, append_images=others, duration=40),
    }
    return [Base(f"{name}.png", content) for name, content in made.items()]


def _png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    return found


def _png_of(rng: random.Random, chunks: Sequence[tuple[bytes, bytes]], sums: Sequence[int], words: list[str]) -> bytes:
    """Puts chunks together; with the checksums from before in some cases."""
    right = rng.random() < _REPAIRED
    if not right:
        words.append("checksums from before")
    whole = b"\x89PNG\r\n\x1a\n"
    for place, (kind, data) in enumerate(chunks):
        told = zlib.crc32(kind + data) if right or place >= len(sums) else sums[place]
        whole += len(data).to_bytes(4, "big") + kind + data + told.to_bytes(4, "big")
    return whole


def _mutated_png(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    chunks = _png_chunks(content)
    sums = [zlib.crc32(kind + data) for kind, data in chunks]
    words = []
    for _ in range(_some(rng)):
        at = rng.randrange(len(chunks))
        kind, data = chunks[at]
        way = rng.randrange(7)
        if way == 0 and chunks[0][0] == b"IHDR":
            header, word = _field(rng, chunks[0][1], [(0, 4), (4, 4), (8, 1), (9, 1), (10, 1), (11, 1), (12, 1)], "big")
            chunks[0] = (b"IHDR", header)
            words.append(f"IHDR {word}")
        elif way == 1:
            words.append(_parts_moved(rng, chunks))
        elif way == 2:
            words.append(_png_data_changed(rng, chunks))
        elif way == 3:
            extra = rng.choice((b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tRNS", b"PLTE", b"acTL", b"fcTL",
                                b"fdAT", b"gAMA", b"sRGB", b"pHYs", b"IDAT", b"IEND", b"XXXX", b"xxxx"))  # fmt: skip
            filled = rng.choice((b"", bytes(8), rng.randbytes(26), b"a\0\0" + zlib.compress(bytes(2**22)), bytes(2000)))
            chunks.insert(at, (extra, filled))
            words.append(f"{extra.decode()} of {len(filled)} bytes put in at {at}")
        elif way == 4:
            chunks[at] = (bytes(_byte(rng, one) if rng.random() < 0.3 else one for one in kind), data)
            words.append(f"part {at} renamed {chunks[at][0]!r}")
        else:
            chunks[at] = (kind, _altered(rng, data))
            words.append(f"{kind.decode('latin-1')} changed, {len(data)} to {len(chunks[at][1])} bytes")
    return _png_of(rng, chunks, sums, words), words


def _png_data_changed(rng: random.Random, chunks: list[tuple[bytes, bytes]]) -> str:
    """Changes the rows before they are packed: filters, too few or too many of them."""
    places = [place for place, (kind, _) in enumerate(chunks) if kind == b"IDAT"]
    if not places:
        return "no data left"
    try:
        rows = bytearray(zlib.decompress(b"".join(chunks[place][1] for place in places)))
    except zlib.error:
        return "data broken already"
    way = rng.randrange(4)
    if way == 0 and rows:
        rows[rng.randrange(len(rows))] = rng.choice((4, 5, 255))
    elif way == 1:
        del rows[rng.randrange(len(rows) + 1) :]
    elif way == 2:
        rows += bytes(rng.choice((1, 1000, 2**22)))
    packed = zlib.compress(bytes(rows))
    if way == 3:
        packed = packed[:-4] + rng.randbytes(4)
    chunks[places[0]] = (b"IDAT", packed)
    for place in reversed(places[1:]):
        del chunks[place]
    return ("a filter changed", "rows cut off", "rows added", "a wrong Adler-32")[way]


# JPEG


def _jpegs() -> list[Base]:
    grey = Image.fromarray(_pixels())
    rgb = grey.convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 8, "drawn"
    pair = [Image.fromarray(_pixels(4)).convert("RGB")]
    made = {
        "grey.jpg": _saved(grey, "JPEG", quality=90),
        "rgb.jpg": _saved(rgb, "JPEG", quality=90),
        "plain.jpg": _saved(rgb, "JPEG", quality=75, subsampling=0),
        "progressive.jpg": _saved(rgb, "JPEG", progressive=True),
        "restarts.jpg": _saved(grey, "JPEG", restart_marker_blocks=4),
        "cmyk.jpg": _saved(rgb.convert("CMYK"), "JPEG"),
        "turned.jpg": _saved(rgb, "JPEG", exif=exif, comment="drawn"),
        "pair.jpg": _saved(rgb, "MPO", save_all=True, append_images=pair),
        "lossless.jp2": _saved(grey, "JPEG2000"),
    }
    return [Base(name, content) for name, content in made.items()]


def _jpeg_segments(content: bytes) -> list[bytes]:
    """Splits at the markers: each part begins with one, and holds what follows up to the next."""
    found, place = [], 0
    while place < len(content):
        end = place + 2
        marker = content[place + 1 : place + 2]
        if marker and marker not in (b"\xd8", b"\xd9", b"\x01") and not b"\xd0" <= marker <= b"\xd7":
            end += int.from_bytes(content[end : end + 2], "big")
        if marker == b"\xda" or b"\xd0" <= marker <= b"\xd7":  # then comes data
            while end < len(content) and not (content[end] == 0xFF and content[end + 1 : end + 2] not in (b"\0", b"")):
                end += 1
        end = max(end, place + 2)
        found.append(content[place:end])
        place = end
    return found


def _mutated_jpeg(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    if not content.startswith(b"\xff\xd8"):
        return _mutated_bytes(rng, content)
    parts, words = _jpeg_segments(content), []
    for _ in range(_some(rng)):
        at = rng.randrange(len(parts))
        part, way = parts[at], rng.randrange(7)
        if way == 0:
            frames = [place for place, one in enumerate(parts) if one[1:2] in (b"\xc0", b"\xc1", b"\xc2")]
            if frames:
                at = rng.choice(frames)
                fields = [(4, 1), (5, 2), (7, 2), (9, 1), *((10 + place, 1) for place in range(9))]
                parts[at], word = _field(rng, parts[at], fields, "big")
                words.append(f"SOF {word}")
        elif way == 1:
            words.append(_parts_moved(rng, parts))
        elif way == 2:
            scans = [place for place, one in enumerate(parts) if one[1:2] == b"\xda"]
            if scans:
                at = rng.choice(scans)
                head = 2 + int.from_bytes(parts[at][2:4], "big")
                parts[at] = parts[at][:head] + _altered(rng, parts[at][head:])
                words.append(f"scan {at} changed")
        elif way == 3 and len(part) > 4:
            body = _altered(rng, part[4:])[: 2**16 - 3]
            length = (
                len(body) + 2 if rng.random() < _REPAIRED and part[1:2] != b"\xda" else int.from_bytes(part[2:4], "big")
            )
            parts[at] = part[:2] + length.to_bytes(2, "big") + body
            words.append(f"segment {part[1]:02x} changed")
        elif way == 4 and len(part) > 4:
            parts[at], word = _field(rng, part, [(2, 2)], "big")
            words.append(f"length of segment {part[1]:02x}: {word}")
        elif way == 5:
            marker = rng.choice((0xD8, 0xD9, 0xD0, 0xD7, 0xFE, 0xE1, 0xDD, 0xDA, 0xC4, 0xDB, 0x00))
            parts.insert(at, bytes([0xFF, marker]) + rng.choice((b"", b"\0\2", b"\0\4\0\0", bytes(20))))
            words.append(f"a marker put in at {at}")
        else:
            parts[at] = part[:1] + bytes([_byte(rng, part[1] if len(part) > 1 else 0)]) + part[2:]
            words.append(f"marker {at} changed")
    return b"".join(parts), words


# TIFF


def _tiffs() -> list[Base]:
    grey = Image.fromarray(_pixels())
    wide = Image.fromarray(_pixels().astype(np.uint16) * 256)
    floats = Image.fromarray(_pixels().astype(np.float32) / 255)
    pages = [Image.fromarray(_pixels(seed)) for seed in (4, 5)]
    made = {
        "grey": _saved(grey, "TIFF"),
        "rgb": _saved(grey.convert("RGB"), "TIFF"),
        "rgba": _saved(grey.convert("RGBA"), "TIFF", compression="tiff_adobe_deflate"),
        "palette": _saved(grey.convert("P"), "TIFF"),
        "lzw": _saved(grey, "TIFF", compression="tiff_lzw"),
        "packbits": _saved(grey, "TIFF", compression="packbits"),
        "jpeg": _saved(grey.convert("RGB"), "TIFF", compression="jpeg"),
        "fax": _saved(grey.convert("1"), "TIFF", compression="group4"),
        "wide": _saved(wide, "TIFF"),
        "packed": _saved(wide, "TIFF", compression="tiff_adobe_deflate"),
        "floats": _saved(floats, "TIFF"),
        "pages": _saved(grey, "TIFF", save_all=True, append_images=pages),
        "large": _saved(grey, "TIFF", big_tiff=True),
    }
    return [Base(f"{name}.tif", content) for name, content in made.items()]


def _tiff_entries(content: bytes) -> tuple[list[int], list[int]]:
    """Returns where the entries of all directories stand, and where the offsets of the next directories do."""
    entries, links, seen = [], [4], set()
    place = int.from_bytes(content[4:8], "little")
    while 8 <= place < len(content) - 2 and place not in seen:
        seen.add(place)
        count = int.from_bytes(content[place : place + 2], "little")
        entries += [place + 2 + 12 * one for one in range(count) if place + 14 + 12 * one <= len(content)]
        links.append(place + 2 + 12 * count)
        place = int.from_bytes(content[links[-1] : links[-1] + 4], "little")
    return entries, links


def _mutated_tiff(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    if not content.startswith(b"II*\0"):  # the large kind has wider entries
        return _mutated_bytes(rng, content)
    changed, words = bytearray(content), []
    entries, links = _tiff_entries(content)
    for _ in range(_some(rng)):
        at, way = rng.choice(entries), rng.randrange(8)
        tag = int.from_bytes(changed[at : at + 2], "little")
        kind = int.from_bytes(changed[at + 2 : at + 4], "little")
        if way < 3:
            size = {1: 1, 3: 2}.get(kind, 4)
            changed[at + 8 : at + 8 + size], word = _field(
                rng, bytes(changed[at + 8 : at + 8 + size]), [(0, size)], "little"
            )
            words.append(f"tag {tag}: {word}")
        elif way == 3:
            changed[at + 2 : at + 4] = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 16, 255)).to_bytes(
                2, "little"
            )
            words.append(f"type of tag {tag}")
        elif way == 4:
            changed[at + 4 : at + 8], word = _field(rng, bytes(changed[at + 4 : at + 8]), [(0, 4)], "little")
            words.append(f"count of tag {tag}: {word}")
        elif way == 5:
            new = rng.choice((254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323,
                              324, 325, 338, 339, 347, 530, 34665, 700, rng.randrange(65536)))  # fmt: skip
            changed[at : at + 2] = new.to_bytes(2, "little")
            words.append(f"tag {tag} is {new}")
        elif way == 6:
            link = rng.choice(links)
            to = rng.choice((0, 1, 8, int.from_bytes(changed[4:8], "little"), len(changed) - 4, 2**32 - 1, at))
            changed[link : link + 4] = to.to_bytes(4, "little")
            words.append(f"directory after {link} at {to}")
        else:
            place = rng.randrange(8, len(changed))
            changed[place] = _byte(rng, changed[place])
            words.append(f"byte {place} changed")
    return bytes(changed), words


# DICOM

_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")
_TEXTS = (b"", b"0", b"-1", b"1", b"2", b"1e400", b"nan", b"1,00", b"1\\1", b"99999999999999999999", b"MONOCHROME1",
          b"RGB", b"YBR_FULL", b"PALETTE COLOR", b"\xff\xfe\x00", b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.5",
          b"MR", b"CT", b"KNEE", b"\x1b[31m", b"A" * 5000)  # fmt: skip
_PIXEL_DATA = (0x7FE0, 0x0010)


@dataclass(frozen=True)
class _Element:
    """An element of a data set: tag, representation (empty where implicit), and value."""

    tag: tuple[int, int]
    vr: bytes
    value: bytes
    length: int | None = None  # another one than that of its value

    def to_bytes(self, order: str) -> bytes:
        length = len(self.value) if self.length is None else self.length
        head = b"".join(part.to_bytes(2, order) for part in self.tag)  # type: ignore[arg-type]
        if not self.vr:
            return head + (length % 2**32).to_bytes(4, order) + self.value  # type: ignore[arg-type]
        if self.vr in _LONG:
            return head + self.vr + b"\0\0" + (length % 2**32).to_bytes(4, order) + self.value  # type: ignore[arg-type]
        return head + self.vr + (length % 2**16).to_bytes(2, order) + self.value  # type: ignore[arg-type]


def dicom_bytes(pixels: np.ndarray, syntax: UID = ExplicitVRLittleEndian, **tags: object) -> bytes:
    """Returns an MR slice as a file; pixels are (height, width), or (frames, height, width)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    meta.TransferSyntaxUID = syntax
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    made.Modality, made.BodyPartExamined, made.PatientID, made.SeriesDescription = "MR", "BRAIN", "drawn", "t1 axial"
    made.SeriesInstanceUID, made.StudyInstanceUID, made.InstanceNumber = "1.2.3", "1.2", 1
    made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 5]
    made.PixelSpacing, made.RescaleSlope, made.RescaleIntercept = [1, 1], 1, 0
    made.WindowCenter, made.WindowWidth = 128, 256
    made.Rows, made.Columns = pixels.shape[-2:]
    bits = 8 * pixels.dtype.itemsize
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    if pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    for name, value in tags.items():
        setattr(made, name, value)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    plain = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    frames = [pixels] if pixels.ndim == 2 else list(pixels)
    if syntax in _UNCOMPRESSED:
        made.PixelData = plain
    elif syntax == RLELossless:
        made.PixelData = plain
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.compress(RLELossless)
    else:
        kind = {JPEGBaseline8Bit: "JPEG", JPEG2000Lossless: "JPEG2000"}[syntax]
        options = {"no_jp2": True} if kind == "JPEG2000" else {}
        made.PixelData = encapsulate([_saved(Image.fromarray(frame), kind, **options) for frame in frames])
        made["PixelData"].is_undefined_length = True
    made["PixelData"].VR = "OW" if bits > 8 and syntax in _UNCOMPRESSED else "OB"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def _dicoms() -> list[Base]:
    grey = _pixels()
    wide = grey.astype(np.uint16) * 16
    stack = np.stack([_pixels(seed) for seed in (3, 4, 5)])
    made = {
        "plain": dicom_bytes(wide),
        "bytes": dicom_bytes(grey),
        "signed": dicom_bytes(wide.astype(np.int16) - 1024, RescaleIntercept=-1024, PixelPaddingValue=-1024),
        "implicit": dicom_bytes(wide, ImplicitVRLittleEndian),
        "big": dicom_bytes(wide, ExplicitVRBigEndian),
        "deflated": dicom_bytes(wide, DeflatedExplicitVRLittleEndian),
        "runs": dicom_bytes(wide, RLELossless),
        "jpeg": dicom_bytes(grey, JPEGBaseline8Bit),
        "jpeg2000": dicom_bytes(wide, JPEG2000Lossless),
        "frames": dicom_bytes(stack),
        "jpegs": dicom_bytes(stack, JPEGBaseline8Bit),
        "inverted": dicom_bytes(wide, PhotometricInterpretation="MONOCHROME1"),
    }
    return [Base(f"{name}.dcm", content) for name, content in made.items()]


def _dicom_elements(content: bytes, *, explicit: bool, order: str) -> list[_Element]:
    """Takes a data set apart, the elements of sequences left whole; undefined lengths reach to the end."""
    found, place = [], 0
    while place + 8 <= len(content):
        tag = tuple(int.from_bytes(content[place + at : place + at + 2], order) for at in (0, 2))  # type: ignore[arg-type]
        vr, size_at, size_of = b"", place + 4, 4
        if explicit:
            vr = content[place + 4 : place + 6]
            size_at, size_of = (place + 8, 4) if vr in _LONG else (place + 6, 2)
        length = int.from_bytes(content[size_at : size_at + size_of], order)  # type: ignore[arg-type]
        start = size_at + size_of
        told = length if length == 2**32 - 1 else None
        end = len(content) if told else min(start + length, len(content))
        found.append(_Element(tag, vr, content[start:end], told))  # type: ignore[arg-type]
        place = end
    return found


def _mutated_dicom(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    start = 144 + int.from_bytes(content[140:144], "little")
    meta = _dicom_elements(content[132:start], explicit=True, order="little")
    syntax = next(UID(one.value.rstrip(b"\0").decode()) for one in meta if one.tag == (2, 0x10))
    deflated = syntax == DeflatedExplicitVRLittleEndian
    order = "big" if syntax == ExplicitVRBigEndian else "little"
    body = zlib.decompress(content[start:], -zlib.MAX_WBITS) if deflated else content[start:]
    elements = _dicom_elements(body, explicit=syntax != ImplicitVRLittleEndian, order=order)
    words = []
    for _ in range(_some(rng)):
        where = meta if rng.random() < 0.1 else elements
        at = rng.randrange(len(where))
        if where is elements and rng.random() < 0.3:
            at = next((place for place, one in enumerate(elements) if one.tag == _PIXEL_DATA), at)
        one, way = where[at], rng.randrange(8)
        label = f"{one.tag[0]:04x},{one.tag[1]:04x}"
        if one.tag == _PIXEL_DATA and way < 5:
            where[at] = replace(one, value=_pixel_data_changed(rng, one))
            words.append("pixel data changed")
        elif way < 2 and len(one.value) in (2, 4):
            value, word = _field(rng, one.value, [(0, len(one.value))], order)
            where[at] = replace(one, value=value)
            words.append(f"{label} {word}")
        elif way < 4:
            value = rng.choice(_TEXTS)
            where[at] = replace(one, value=value + b" " * (len(value) % 2))
            words.append(f"{label} is {value[:20]!r}")
        elif way == 4 and len(where) > 1:
            del where[at]
            words.append(f"{label} gone")
        elif way == 5:
            words.append(f"{label} once more")
            where.insert(rng.randrange(len(where)), one)
        elif way == 6 and one.vr:
            vr = rng.choice(
                (b"US", b"SS", b"DS", b"IS", b"OW", b"OB", b"SQ", b"UN", b"LO", b"FD", b"AT", b"??", b"\0\0")
            )
            where[at] = replace(one, vr=vr)
            words.append(f"{label} as {vr!r}")
        else:
            length = _number(rng, len(one.value), 4)
            where[at] = replace(one, length=length)
            words.append(f"{label} says that it has {length} bytes")
    body = b"".join(one.to_bytes(order) for one in elements)
    if deflated:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = packer.compress(body) + packer.flush()
        body = _altered(rng, body) if rng.random() > _REPAIRED else body
    head = b"".join(one.to_bytes("little") for one in meta)
    if meta and meta[0].tag == (2, 0) and meta[0].length is None and rng.random() < _REPAIRED:
        size = len(head) - len(meta[0].to_bytes("little"))
        head = replace(meta[0], value=size.to_bytes(4, "little")).to_bytes("little") + head[-size:] if size else head
    return content[:132] + head + body, words


def _pixel_data_changed(rng: random.Random, element: _Element) -> bytes:
    """Changes pixels, or where they are compressed the fragments and what is in them."""
    if element.length is None or rng.random() < 0.3:
        return _altered(rng, element.value)
    try:
        frames = list(generate_frames(element.value, number_of_frames=1))
    except Exception:  # an earlier mutation broke it
        return _altered(rng, element.value)
    at = rng.randrange(len(frames))
    frame = frames[at]
    frames[at] = _mutated_jpeg(rng, frame)[0] if frame.startswith(b"\xff\xd8") else _altered(rng, frame)
    return encapsulate([one or b"\0\0" for one in frames]) + b"\xfe\xff\xdd\xe0\0\0\0\0"


# NIfTI

_NIFTI_FIELDS = {
    1: [(0, 4), *((40 + 2 * place, 2) for place in range(8)), (70, 2), (72, 2), (252, 2), (254, 2), (344, 4),
        (348, 4), (108, 4)],
    2: [(0, 4), (12, 2), (14, 2), *((16 + 8 * place, 8) for place in range(8)), (168, 8), (344, 4), (348, 4), (540, 4)],
}  # fmt: skip
_NIFTI_FLOATS = {
    1: [(76 + 4 * place, "f") for place in range(8)] + [(108, "f"), (112, "f"), (116, "f"), (124, "f"), (128, "f"),
        *((256 + 4 * place, "f") for place in range(18))],
    2: [(104 + 8 * place, "d") for place in range(8)] + [(176, "d"), (184, "d"), (192, "d"), (200, "d"),
        *((352 + 8 * place, "d") for place in range(18))],
}  # fmt: skip
_ODD_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, 3e38, float("nan"), float("inf"), float("-inf"), 352.0, 1e9, 0.5)


def _niftis() -> list[Base]:
    stack = np.stack([_pixels(seed) for seed in range(3, 9)], axis=2)
    plain = nibabel.Nifti1Image(stack.astype(np.int16), np.diag([1, 1, 5, 1]))
    scaled = nibabel.Nifti1Image(stack.astype(np.int16), np.diag([1, 1, 5, 1]))
    scaled.header.set_slope_inter(0.5, -10)
    extended = nibabel.Nifti1Image(stack, np.diag([-1, 1, 5, 1]))
    extended.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"drawn"))
    made = {
        "int16.nii": plain.to_bytes(),
        "uint8.nii": nibabel.Nifti1Image(stack, np.eye(4)).to_bytes(),
        "scaled.nii": scaled.to_bytes(),
        "extended.nii": extended.to_bytes(),
        "floats.nii": nibabel.Nifti1Image(stack.astype(np.float32) / 255, np.diag([1, 5, 1, 1])).to_bytes(),
        "times.nii": nibabel.Nifti1Image(np.stack([stack] * 2, axis=3), np.eye(4)).to_bytes(),
        "second.nii": nibabel.Nifti2Image(stack.astype(np.int16), np.diag([1, 1, 5, 1])).to_bytes(),
        "packed.nii.gz": gzip.compress(plain.to_bytes(), 1, mtime=0),
    }
    return [Base(name, content) for name, content in made.items()]


def _mutated_nifti(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    version = 2 if content[4:7] == b"n+2" else 1
    words = []
    for _ in range(_some(rng)):
        way = rng.randrange(5)
        if way < 2:
            content, word = _field(rng, content, _NIFTI_FIELDS[version], "little")
            words.append(word)
        elif way == 2:
            place, kind = rng.choice(_NIFTI_FLOATS[version])
            value = rng.choice(_ODD_FLOATS)
            size = struct.calcsize(kind)
            content = content[:place] + struct.pack(f"<{kind}", value) + content[place + size :]
            words.append(f"float {place}: {value}")
        elif way == 3:
            changed = bytearray(content)
            place = rng.randrange(352)
            changed[place] = _byte(rng, changed[place])
            content = bytes(changed)
            words.append(f"byte {place}")
        else:
            start = 540 if version == 2 else 352
            content = content[:start] + _altered(rng, content[start:])
            words.append("voxels changed")
    return content, words


def _mutated_gzip(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    if rng.random() < 0.5:
        inner, words = _mutated_nifti(rng, gzip.decompress(content))
        return gzip.compress(inner, 1, mtime=0), words
    way = rng.randrange(5)
    if way == 0:
        return content[:-8] + rng.randbytes(4) + content[-4:], ["a wrong CRC of gzip"]
    if way == 1:
        return content[:-4] + rng.randbytes(4), ["a wrong length of gzip"]
    if way == 2:
        return content + rng.choice((bytes(100), rng.randbytes(100), content)), ["more after the end of gzip"]
    if way == 3:
        return content[:2] + bytes(_byte(rng, one) for one in content[2:10]) + content[10:], ["header of gzip"]
    return _mutated_bytes(rng, content)


# ZIP


def _zips() -> list[Base]:
    members = {
        "s/head.png": bases("png")[0].content,
        "s/photo.jpg": bases("jpeg")[1].content,
        "IM0001": bases("dicom")[0].content,
        "volume.nii": bases("nifti")[0].content,
        "README.txt": b"drawn",
    }
    kinds = {"stored.zip": zipfile.ZIP_STORED, "packed.zip": zipfile.ZIP_DEFLATED}
    return [Base(name, _zip_of(members, kind)) for name, kind in kinds.items()]


def _zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, content in members.items():
            made.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


_ZIP_FIELDS = {
    b"PK\x03\x04": [(4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
    b"PK\x01\x02": [(4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4),
                    (42, 4)],
    b"PK\x05\x06": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
}  # fmt: skip


def _mutated_zip(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    if rng.random() < 0.3:  # a sound archive of broken files
        kinds = [rng.choice(("png", "jpeg", "tiff", "dicom", "nifti")) for _ in range(rng.choice((1, 2, 4)))]
        members, words = {}, []
        for kind in kinds:
            base = rng.choice(bases(kind))
            broken, how = _mutated(rng, kind, base)
            members[f"{len(members)}-{base.name}"] = broken
            words.append(f"{base.name}: {', '.join(how)}")
        return _zip_of(members), words
    words = []
    for _ in range(_some(rng)):
        mark = rng.choice(tuple(_ZIP_FIELDS))
        places = [place for place in range(len(content)) if content.startswith(mark, place)]
        if not places:
            continue
        at, way = rng.choice(places), rng.randrange(4)
        if way < 3:
            part, word = _field(rng, content[at : at + 46], _ZIP_FIELDS[mark], "little")
            content = content[:at] + part + content[at + 46 :]
            words.append(f"{mark!r} at {at}: {word}")
        else:
            name_at = at + {b"PK\x03\x04": 30, b"PK\x01\x02": 46}.get(mark, 22)
            content = content[:name_at] + rng.randbytes(2) + content[name_at + 2 :]
            words.append(f"name at {name_at}")
    return content, words or ["as drawn"]


# CSV


def _csvs() -> list[Base]:
    rows = [("path", "label", "patient"), ("head-3.png", "1", "p1"), ("head-4.png", "0", "p2"),
            ("head-5.png", "1", "p1"), ("head-6.png", "0", "p3")]  # fmt: skip
    made = {}
    for name, separator in (("comma", ","), ("semicolon", ";"), ("tab", "\t")):
        stream = io.StringIO()
        csv.writer(stream, delimiter=separator).writerows(rows)
        made[name] = stream.getvalue()
    bases_ = [Base(f"{name}.csv", text.encode()) for name, text in made.items()]
    return [
        *bases_,
        Base("utf16.csv", made["tab"].encode("utf-16")),
        Base("mark.csv", made["comma"].encode("utf-8-sig")),
    ]


_CELLS = ("", " ", "1", "0", "1.0", "yes", "no", "tumor", "nan", "-1", "2", "head-3.png", "head-4.png", "../head-3.png",
          "none.png", '"', '""', 'a"b', "a,b", "a;b", "a\nb", "\0", "\x1b[31m", "=1+1", "é", "\u202e", "x" * 5000,
          "path", "label", "Label", "patient_id", "lable", "１")  # fmt: skip


def _mutated_csv(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = content.decode(encoding)
    separator = next(sign for sign in "\t;," if sign in text)
    rows: list[list[str]] = [line.split(separator) for line in text.splitlines()]
    words = []
    for _ in range(_some(rng)):
        at = rng.randrange(len(rows)) if rng.random() < 0.7 else 0
        way = rng.randrange(6)
        if way < 3 and rows[at]:
            place = rng.randrange(len(rows[at]))
            rows[at][place] = rng.choice(_CELLS)
            words.append(f"cell {at}, {place}: {rows[at][place][:12]!r}")
        elif way == 3:
            rows[at] = rows[at][:-1] if rng.random() < 0.5 else [*rows[at], rng.choice(_CELLS)]
            words.append(f"row {at} has {len(rows[at])} cells")
        elif way == 4:
            other = rng.randrange(len(rows))
            rows[at], rows[other] = rows[other], rows[at]
            words.append(f"rows {at} and {other} swapped")
        else:
            rows.insert(at, list(rows[rng.randrange(len(rows))]))
            words.append(f"a row doubled at {at}")
    end = rng.choice(("\r\n", "\n", "\r", "\n\n"))
    new = rng.choice((separator, separator, separator, ",", ";", "\t", "|", ", "))
    whole = end.join(new.join(row) for row in rows) + end
    chosen = rng.choice((encoding, encoding, "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"))
    words.append(f"{new!r}, {end!r}, {chosen}")
    packed = whole.encode(chosen, "replace" if chosen == "latin-1" else "surrogatepass")
    if rng.random() < 0.1:
        packed, more = _mutated_bytes(rng, packed)
        words += more
    return packed, words
