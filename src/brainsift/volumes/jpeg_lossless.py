"""JPEG Lossless frames of DICOM files to samples, in NumPy; a plugin of pydicom.

Archives are full of this compression (transfer syntaxes 1.2.840.10008.1.2.4.57 and .70), and no small package with a
permissive license decodes it on every Python that brainsift supports. Where a code starts depends on the code before
it. So the length of the code at every bit is looked up first, for many bits at once; what remains is a loop that adds
up lengths.

Source: ITU-T T.81 (ISO/IEC 10918-1), annexes B (markers), C (Huffman tables) and H (lossless processes).
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

Samples = npt.NDArray[np.uint16]

# What pydicom asks of a plugin: https://pydicom.github.io/pydicom/stable/guides/decoding/decoder_plugins.html
DECODER_DEPENDENCIES = dict.fromkeys(("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"), ("numpy",))

_LABEL = "brainsift"
_REGISTERING = threading.Lock()
_START, _LOSSLESS, _TABLES, _SCAN, _RESTARTS = 0xD8, 0xC3, 0xC4, 0xDA, 0xDD
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_SCAN_END = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_CHUNK = 1 << 15  # bytes of which the codes at all bits are looked up at once
_BEYOND = 7  # bytes: the longest code and its bits may start at the last bit of a chunk
_SPARE = 2  # bytes that an encoder may add at the end of its codes
_LARGEST = 16  # category of differences that has no bits of its own
_NO_CODE = 255  # bits to the next code where no code starts: more than any code has, so decoding stops with an error
_ENDS_EARLY = "its data ends before the end of the image"


@dataclass(frozen=True, eq=False)
class _Table:
    """A Huffman table, by the next 16 bits.

    Attributes:
        lengths: uint8 (65536,), of the code in bits; 0 where no code starts like that.
        sizes: uint8 (65536,), category of the difference, which is how many bits follow the code.
        steps: uint8 (65536,), bits to the next code.
    """

    lengths: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.uint8]
    steps: npt.NDArray[np.uint8]


@dataclass
class _Frame:
    """What the markers before a scan say.

    Attributes:
        precision: bits of a sample.
        components: their identifiers, in order.
    """

    precision: int
    components: list[int]


def register() -> None:
    """Makes pydicom decode JPEG Lossless with this module where it has no other decoder for it."""
    from pydicom.pixels import get_decoder

    with _REGISTERING:  # adding a plugin is for one thread at a time
        for syntax in DECODER_DEPENDENCIES:
            decoder = get_decoder(syntax)
            if _LABEL not in decoder.available_plugins:
                decoder.add_plugin(_LABEL, (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Tells pydicom whether a transfer syntax is decoded here."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(src: bytes, runner: "DecodeRunner") -> bytes:
    """Decodes a frame for pydicom, into as many bits as its header allocates.

    Raises:
        ValueError: broken, or not as its header says.
    """
    samples, precision = decode(src, (runner.rows, runner.columns, runner.samples_per_pixel))
    if precision > runner.bits_allocated:
        raise ValueError(f"its samples have {precision} bits, more than the {runner.bits_allocated} of the header")
    runner.set_option("planar_configuration", 0)
    return samples.astype(f"<u{runner.bits_allocated // 8}").tobytes()


def decode(data: bytes, shape: tuple[int, int, int]) -> tuple[Samples, int]:
    """Decodes an image.

    Args:
        data: from its first marker on.
        shape: rows, columns and samples per pixel, as they must be.

    Returns:
        The samples, of ``shape``, and how many bits they have.

    Raises:
        ValueError: broken, another shape, or another process of JPEG.
    """
    if data[:2] != bytes((0xFF, _START)):
        raise ValueError("it does not start as JPEG does")
    tables: dict[int, _Table] = {}
    frame: _Frame | None = None
    interval, place = 0, 2
    planes: dict[int, Samples] = {}
    while frame is None or len(planes) < shape[2]:
        found = _MARKER.search(data, place)
        if not found:
            raise ValueError(_ENDS_EARLY)
        marker, place = found[1][0], found.end()
        length = int.from_bytes(data[place : place + 2], "big")
        content = data[place + 2 : place + length]
        if length < 2 or len(content) < length - 2:
            raise ValueError(_ENDS_EARLY)
        place += length
        if marker == _TABLES:
            tables |= _tables(content)
        elif marker == _RESTARTS:
            interval = int.from_bytes(content, "big")
        elif marker == _LOSSLESS:
            frame = _frame(content, shape)
        elif marker == _SCAN:
            if frame is None:
                raise ValueError("a scan stands before the frame that it belongs to")
            end = _SCAN_END.search(data, place)
            if not end:
                raise ValueError(_ENDS_EARLY)
            planes |= _scan(content, data[place : end.start()], frame, tables, interval=interval, shape=shape)
            place = end.start()
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC8, 0xCC):
            raise ValueError(f"it is compressed by the process {marker - 0xC0} of JPEG, which is not lossless")
    return np.stack([planes[component] for component in frame.components], axis=2), frame.precision


def _frame(content: bytes, shape: tuple[int, int, int]) -> _Frame:
    """Reads a frame header, T.81, B.2.2."""
    precision, count = content[0], content[5]
    rows, columns = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    if (rows, columns, count) != shape:
        raise ValueError(f"its pixels are {rows} x {columns} x {count}, and {shape} in its header")
    parts = [content[6 + 3 * index : 9 + 3 * index] for index in range(count)]
    if not 2 <= precision <= 16 or any(len(part) < 3 or (count > 1 and part[1] != 0x11) for part in parts):
        raise ValueError("it has samples of another precision or spacing than DICOM allows")
    return _Frame(precision, [part[0] for part in parts])


def _tables(content: bytes) -> dict[int, _Table]:
    """Reads Huffman tables, T.81, B.2.4.2 and C.2."""
    found = {}
    while content:
        number, counts = content[0], content[1:17]
        values, content = content[17 : 17 + sum(counts)], content[17 + sum(counts) :]
        lengths, sizes = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
        code, remaining = 0, iter(values)
        for length, count in enumerate(counts, start=1):
            for value in islice(remaining, count):
                first, last = code << (16 - length), (code + 1) << (16 - length)
                if last > 1 << 16 or value > _LARGEST:
                    raise ValueError("its Huffman table is broken")
                lengths[first:last], sizes[first:last] = length, value
                code += 1
            code <<= 1
        steps = lengths + np.where(sizes == _LARGEST, 0, sizes).astype(np.uint8)
        found[number] = _Table(lengths, sizes, np.where(lengths == 0, _NO_CODE, steps).astype(np.uint8))
    return found


def _scan(
    content: bytes,
    packed: bytes,
    frame: _Frame,
    tables: dict[int, _Table],
    *,
    interval: int,
    shape: tuple[int, int, int],
) -> dict[int, Samples]:
    """Decodes a scan, T.81, B.2.3: the samples (rows, columns) of each of its components."""
    rows, columns, _ = shape
    count = content[0] if content else 0
    parts = [content[1 + 2 * index : 3 + 2 * index] for index in range(count)]
    if len(content) != 2 * count + 4 or not parts or not {part[0] for part in parts} <= set(frame.components):
        raise ValueError("the header of a scan is broken")
    selection, shift = content[-3], content[-1] & 0x0F
    if not 1 <= selection <= 7 or shift >= frame.precision or any(part[1] >> 4 not in tables for part in parts):
        raise ValueError("a scan names a predictor or a table that there is not")
    if interval % columns:
        raise ValueError("its restarts are not at the end of rows")
    own = [tables[part[1] >> 4] for part in parts]
    height = min(interval // columns or rows, rows)
    pieces = _RESTART.split(packed)
    if len(pieces) < -(-rows // height):
        raise ValueError(_ENDS_EARLY)
    blocks = []
    for piece, top in zip(pieces, range(0, rows, height), strict=False):
        n_rows = min(height, rows - top)
        differences = _differences(piece.replace(b"\xff\0", b"\xff"), own, n_rows * columns * count)
        block = differences.astype(np.uint16).reshape(n_rows, columns, count)  # modulo 65536, T.81, H.1.2.1
        blocks.append(_predicted(block, selection, 1 << (frame.precision - shift - 1)))
    samples = np.concatenate(blocks)
    if samples.max() >> (frame.precision - shift):
        raise ValueError("it holds values beyond its precision")
    samples <<= shift
    return {part[0]: samples[..., index] for index, part in enumerate(parts)}


def _differences(packed: bytes, tables: Sequence[_Table], count: int) -> npt.NDArray[np.int32]:
    """Decodes (count,) differences, whose components take turns with ``tables``, T.81, H.1.2.2."""
    lengths, sizes = (np.stack([getattr(table, name) for table in tables]) for name in ("lengths", "sizes"))
    data = np.frombuffer(packed + bytes(_BEYOND), np.uint8)
    found = np.empty(count, np.int32)
    done = start = 0  # differences, and the bit at which the next one starts
    while done < count:
        first = start // 8
        block = data[first : first + _CHUNK + _BEYOND].astype(np.int32)
        n_bytes = len(block) - _BEYOND
        if n_bytes <= 0:
            raise ValueError(_ENDS_EARLY)
        words = block[:-2] << 16 | block[1:-1] << 8 | block[2:]
        codes = (words[:n_bytes, None] >> np.arange(8, 0, -1) & 0xFFFF).ravel()  # the 16 bits that follow each bit
        steps = [table.steps[codes].tobytes() for table in tables]
        place, places = start - 8 * first, []
        turn = done % len(tables)
        for own in islice(cycle(steps), turn, turn + count - done):
            if place >= 8 * n_bytes:
                break
            places.append(place)
            place += own[place]
        at = np.array(places)
        component, code = (np.arange(len(at)) + turn) % len(tables), codes[at]
        length, size = lengths[component, code].astype(np.int32), sizes[component, code].astype(np.int32)
        if not length.all():
            raise ValueError("it holds a code that its Huffman table does not have")
        n_bits = np.where(size == _LARGEST, 0, size)
        behind = at + length
        bits = words[behind // 8] >> (24 - behind % 8 - n_bits) & ((1 << n_bits) - 1)
        value = np.where(bits < (1 << n_bits) >> 1, bits - (1 << n_bits) + 1, bits)
        found[done : done + len(at)] = np.where(size == _LARGEST, 1 << 15, value)
        done, start = done + len(at), 8 * first + place
    if start > 8 * len(packed):
        raise ValueError(_ENDS_EARLY)
    if start < 8 * (len(packed) - _SPARE):
        raise ValueError("it holds more codes than pixels")
    return found


def _predicted(differences: Samples, selection: int, initial: int) -> Samples:
    """Adds to differences (rows, columns, components) what samples left and above predict, T.81, H.1.2.1 and H.1."""
    differences[0, 0] += np.uint16(initial)
    if selection == 1:
        differences[:, 0] = np.cumsum(differences[:, 0], axis=0, dtype=np.uint16)
        return np.cumsum(differences, axis=1, dtype=np.uint16)
    differences[0] = np.cumsum(differences[0], axis=0, dtype=np.uint16)
    if selection == 2:
        return np.cumsum(differences, axis=0, dtype=np.uint16)
    for above, row in pairwise(differences):  # views: a row is complete when the next one starts
        row[0] += above[0]
        over, corner = above[1:].astype(np.int32), above[:-1].astype(np.int32)
        if selection == 3:
            row[1:] += above[:-1]
        elif selection == 4:
            row[1:] += (over - corner).astype(np.uint16)
            row[:] = np.cumsum(row, axis=0, dtype=np.uint16)
        elif selection == 5:
            row[1:] += (over - corner >> 1).astype(np.uint16)
            row[:] = np.cumsum(row, axis=0, dtype=np.uint16)
        else:  # the sample on the left is halved, so one waits for the other
            for component in range(row.shape[1]):
                left, own = int(row[0, component]), row[:, component].tolist()
                for column, (upper, edge) in enumerate(
                    zip(over[:, component].tolist(), corner[:, component].tolist(), strict=True), start=1
                ):
                    guess = upper + (left - edge >> 1) if selection == 6 else left + upper >> 1
                    own[column] = left = own[column] + guess & 0xFFFF
                row[:, component] = own
    return differences
