"""The decoder of JPEG Lossless, against an encoder written here from the standard; test_compression has others."""

from itertools import product

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate

from brainsift.volumes.jpeg_lossless import decode
from brainsift.volumes.reader import find_slice

# Nine codes of 4 bits and eight of 5, so that no code has only ones.
COUNTS, CATEGORIES = [0, 0, 0, 9, 8, *[0] * 11], list(range(17))
CODES = {category: (category, 4) if category < 9 else (18 + category - 9, 5) for category in CATEGORIES}


def segment(marker, content):
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def guess(samples, row, column, *, first_row, selection, initial):
    """What T.81, table H.1, predicts for a sample from those before it."""
    if row == first_row:
        return initial if column == 0 else samples[row, column - 1]
    above = samples[row - 1, column]
    if column == 0:
        return above
    left, corner = samples[row, column - 1], samples[row - 1, column - 1]
    return {
        1: left,
        2: above,
        3: corner,
        4: left + above - corner,
        5: left + ((above - corner) >> 1),
        6: above + ((left - corner) >> 1),
        7: (left + above) >> 1,
    }[selection]


def encode(pixels, *, precision, selection=1, shift=0, rows_per_restart=0):
    """Encodes (rows, columns, components) the slow and plain way, all components in one scan."""
    samples = pixels.astype(np.int64) >> shift
    rows, columns, count = samples.shape
    height = rows_per_restart or rows
    pieces = []
    for top in range(0, rows, height):
        bits = ""
        for row, column, component in product(range(top, min(top + height, rows)), range(columns), range(count)):
            plane = samples[..., component]
            predicted = guess(
                plane, row, column, first_row=top, selection=selection, initial=1 << (precision - shift - 1)
            )
            difference = int(plane[row, column] - predicted + (1 << 15)) % (1 << 16) - (1 << 15)
            if difference == -(1 << 15):
                difference = 1 << 15
            size = abs(difference).bit_length() if difference < 1 << 15 else 16
            code, length = CODES[size]
            bits += f"{code:0{length}b}"
            if 0 < size < 16:
                bits += f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"
        bits += "1" * (-len(bits) % 8)
        pieces.append(int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0"))
    packed = pieces[0] + b"".join(bytes([0xFF, 0xD0 + index % 8]) + piece for index, piece in enumerate(pieces[1:]))
    frame = bytes([precision]) + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + bytes([count])
    frame += b"".join(bytes([index + 1, 0x11, 0]) for index in range(count))
    scan = bytes([count, *(byte for index in range(count) for byte in (index + 1, 0)), selection, 0, shift])
    restarts = segment(0xDD, (rows_per_restart * columns).to_bytes(2, "big")) if rows_per_restart else b""
    tables = segment(0xC4, bytes([0, *COUNTS, *CATEGORIES]))
    return b"\xff\xd8" + tables + segment(0xC3, frame) + restarts + segment(0xDA, scan) + packed + b"\xff\xd9"


def picture(seed, shape, precision):
    """Half smooth and half noise, with both ends of the range: the differences are of every category."""
    random = np.random.default_rng(seed)
    top = (1 << precision) - 1
    smooth = np.cumsum(random.integers(-3, 4, shape), axis=1) + top // 2
    noise = random.integers(0, top + 1, shape)
    pixels = np.where(random.random(shape) < 0.5, smooth, noise).clip(0, top)
    pixels.flat[:2] = 0, top
    return pixels


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1000),
    rows=st.integers(1, 9),
    columns=st.integers(2, 9),
    components=st.sampled_from([1, 3]),
    precision=st.integers(2, 16),
    selection=st.integers(1, 7),
    restart=st.integers(0, 4),
)
def test_what_was_encoded_is_decoded(*, seed, rows, columns, components, precision, selection, restart):
    pixels = picture(seed, (rows, columns, components), precision)
    data = encode(pixels, precision=precision, selection=selection, rows_per_restart=restart)
    samples, bits = decode(data + b"\0", pixels.shape)
    assert bits == precision and np.array_equal(samples, pixels)


def test_more_than_one_chunk_and_a_point_transform():
    pixels = picture(3, (300, 200, 1), 16)
    assert len(encode(pixels, precision=16)) > 3 * (1 << 15)
    assert np.array_equal(decode(encode(pixels, precision=16), pixels.shape)[0], pixels)
    shifted, bits = decode(encode(pixels[:9], precision=16, selection=4, shift=3), (9, 200, 1))
    assert bits == 16 and np.array_equal(shifted, pixels[:9] >> 3 << 3)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("tail", [b"", bytes(5000), b"\xff\xd9"])
def test_what_ends_early_is_no_image(cut, tail):
    pixels = picture(4, (40, 30, 1), 12)
    data = encode(pixels, precision=12)
    with pytest.raises(ValueError, match=r"data ends|does not have|more codes|beyond"):
        decode(data[: int(cut * len(data))] + tail, pixels.shape)


def test_what_is_not_as_its_header_says_is_no_image():
    pixels = picture(5, (8, 6, 1), 12)
    data = encode(pixels, precision=12)
    for shape in ((8, 7, 1), (7, 6, 1), (8, 6, 3)):
        with pytest.raises(ValueError, match="its pixels are 8 x 6 x 1"):
            decode(data, shape)
    with pytest.raises(ValueError, match="process 1 of JPEG"):
        decode(data.replace(b"\xff\xc3", b"\xff\xc1"), pixels.shape)
    with pytest.raises(ValueError, match="does not start"):
        decode(data[2:], pixels.shape)
    with pytest.raises(ValueError, match="more codes than pixels"):
        decode(
            encode(np.tile(pixels, (2, 1, 1)), precision=12).replace(b"\0\x10\0\x06\1", b"\0\x08\0\x06\1"), (8, 6, 1)
        )


@settings(max_examples=200)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_gives_an_error_of_its_own_kind_or_an_image(place, byte):
    pixels = picture(6, (12, 10, 1), 12)
    data = bytearray(encode(pixels, precision=12))
    data[place % len(data)] = byte
    try:
        samples, _ = decode(bytes(data), pixels.shape)
    except (ValueError, IndexError):
        return
    assert samples.shape == pixels.shape


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"])
def test_a_file_in_the_base_install_is_read_like_its_plain_copy(tmp_path, dicom, syntax):
    deep = (dicom.head.astype(np.uint16) * 16)[..., None]
    plain = dicom.save(tmp_path / "plain.dcm", deep[..., 0])
    packed = pydicom.dcmread(plain)
    packed.file_meta.TransferSyntaxUID = syntax
    packed.PixelData = encapsulate([encode(deep, precision=16)])
    packed["PixelData"].is_undefined_length = True
    packed.save_as(tmp_path / "packed.dcm")
    assert np.array_equal(find_slice(tmp_path / "packed.dcm").read().pixels, find_slice(plain).read().pixels)
