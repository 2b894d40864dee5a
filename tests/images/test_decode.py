"""Decoding: every kind of file that people have, and every way in which it can be broken."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from brainsift.core.errors import ImageSizeError, InputError, UnreadableImageError, UsageError
from brainsift.core.reasons import Reason
from brainsift.images.decode import DecodedImage, Limits, check_whole, decode, decoder_errors, from_array, in_float32
from brainsift.images.phantom import draw

SLICE = draw(3, tumor=True, size=64).pixels


def content(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_lossless_formats_keep_the_pixels(kind):
    decoded = decode(content(Image.fromarray(SLICE), kind))
    assert decoded.format == kind
    np.testing.assert_array_equal(decoded.grey(), SLICE)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(kind):
    decoded = decode(content(Image.fromarray(SLICE), kind, quality=95))
    assert np.abs(decoded.grey().astype(int) - SLICE).mean() < 5


def test_content_decides_not_the_extension(tmp_path):
    path = tmp_path / "slice.jpg"
    path.write_bytes(content(Image.fromarray(SLICE)))
    decoded = decode(path)
    assert (decoded.format, decoded.mode) == ("PNG", "L")
    np.testing.assert_array_equal(decode(str(path)).pixels, decoded.pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA", "1", "CMYK"])
def test_modes(mode):
    image = Image.fromarray(SLICE).convert(mode)
    decoded = decode(content(image, "TIFF" if mode == "CMYK" else "PNG"))
    assert decoded.mode == mode
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.ndim == (2 if mode in ("L", "LA", "1") else 3)
    np.testing.assert_array_equal(decoded.rgb(), np.asarray(image.convert("RGB")))
    if mode != "1":
        np.testing.assert_array_equal(decoded.grey(), SLICE)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_black(mode):
    image = Image.new(mode, (20, 20), (200, 0) if mode == "LA" else (200, 200, 200, 0))
    image.paste((200, 255) if mode == "LA" else (200, 200, 200, 255), (0, 0, 10, 20))
    grey = decode(content(image)).grey()
    assert (grey[:, :10] == 200).all()
    assert (grey[:, 10:] == 0).all()


def test_a_transparent_colour_of_a_palette_is_black():
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 255, 255, 255])
    assert decode(content(image)).grey().min() == 255
    assert decode(content(image, transparency=1)).grey().max() == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_stay_16_bits(kind):
    wide = SLICE.astype(np.uint16) * 200 + 7
    decoded = decode(content(Image.fromarray(wide), kind))
    assert decoded.pixels.dtype == np.uint16
    np.testing.assert_array_equal(decoded.grey(), wide)
    assert decoded.rgb().shape == (64, 64, 3)
    assert decoded.rgb().max() == 255


def test_big_endian_tiff():
    wide = np.arange(400, dtype=np.uint16).reshape(20, 20) * 100
    tags = [(256, 20), (257, 20), (258, 16), (259, 1), (262, 1), (273, 122), (277, 1), (278, 20), (279, 800)]
    file = b"MM\0*" + struct.pack(">IH", 8, len(tags))
    file += b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
    np.testing.assert_array_equal(decode(file + wide.astype(">u2").tobytes()).grey(), wide)


def test_floats_and_wide_integers_are_mapped_to_uint16():
    ramp = np.linspace(-1, 1, 400, dtype=np.float32).reshape(20, 20)
    grey = decode(content(Image.fromarray(ramp), "TIFF")).grey()
    assert (grey.dtype, grey.min(), grey.max()) == (np.uint16, 0, 65535)
    assert (np.diff(grey.ravel().astype(int)) > 0).all()
    integers = np.arange(400, dtype=np.int32).reshape(20, 20)
    np.testing.assert_array_equal(decode(content(Image.fromarray(integers), "TIFF")).grey(), integers)
    assert decode(content(Image.fromarray(integers * 1000), "TIFF")).grey().max() == 65535


def test_floats_that_are_not_finite():
    image = np.ones((20, 20), np.float32)
    image[0, 0], image[0, 1] = np.nan, np.inf
    grey = decode(content(Image.fromarray(image), "TIFF")).grey()
    assert grey[0, 0] == grey[0, 1] == 0
    assert grey[5, 5] == 65535


def test_exif_orientation_is_applied():
    image = Image.fromarray(SLICE[:40])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(content(image, "JPEG", exif=exif, quality=95)).grey()
    assert turned.shape == (64, 40)
    plain = decode(content(image, "JPEG", quality=95)).grey()
    np.testing.assert_array_equal(turned, np.rot90(plain, -1))


def test_first_frame_of_several():
    frames = [Image.fromarray(SLICE), Image.fromarray(255 - SLICE)]
    file = content(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(file).grey(), SLICE)


def test_coloured_marks_are_no_bright_anatomy():
    rgb = np.repeat(SLICE[..., None], 3, axis=2)
    rgb[5:9, 5:9] = (255, 255, 0)
    grey = decode(content(Image.fromarray(rgb))).grey()
    assert (grey[5:9, 5:9] == 0).all()
    rest = np.ones(SLICE.shape, bool)
    rest[5:9, 5:9] = False
    np.testing.assert_array_equal(grey[rest], SLICE[rest])


def test_slightly_coloured_grey_is_luma():
    rgb = np.stack([SLICE // 2 + 10, SLICE // 2, SLICE // 2 + 4], axis=2).astype(np.uint8)
    luma = np.asarray(Image.fromarray(rgb).convert("L"))
    np.testing.assert_array_equal(decode(content(Image.fromarray(rgb))).grey(), luma)


def test_channels():
    rgb = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    decoded = decode(content(Image.fromarray(rgb)))
    for index, channel in enumerate("RGB"):
        np.testing.assert_array_equal(decoded.grey(channel), rgb[..., index])
    assert DecodedImage(SLICE, "PNG", "L").grey("G") is SLICE
    with pytest.raises(UsageError, match="'X'"):
        decoded.grey("X")


@pytest.mark.parametrize("size", [(10, 200), (200, 10), (15, 15)])
def test_tiny(size):
    with pytest.raises(ImageSizeError, match="tiny"):
        decode(content(Image.new("L", size)), name="small.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_they_are_decoded():
    with pytest.raises(ImageSizeError, match="100000000"):
        decode(png_header(11_000, 10_000))
    with pytest.raises(ImageSizeError, match="limit"):  # Pillow's own check comes first here
        decode(png_header(60_000, 60_000))
    with pytest.raises(ImageSizeError, match="more than 1000 in all"):
        decode(content(Image.fromarray(SLICE)), limits=Limits(max_pixels=1000))


def test_too_many_bytes(tmp_path):
    path = tmp_path / "slice.png"
    path.write_bytes(content(Image.fromarray(SLICE)))
    for source in (path, path.read_bytes()):
        with pytest.raises(ImageSizeError, match="more than 100"):
            decode(source, limits=Limits(max_bytes=100))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_truncated(kind):
    file = content(Image.fromarray(SLICE), kind)
    with pytest.raises(UnreadableImageError, match=r"cut\.img"):
        decode(file[: len(file) // 2], name="cut.img")


def test_what_is_no_image(tmp_path):
    for source in (b"", b"plain text", b"%PDF-1.4 ...", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        with pytest.raises(UnreadableImageError):
            decode(source)
    with pytest.raises(UnreadableImageError, match="no such file"):
        decode(tmp_path / "absent.png")
    with pytest.raises(UnreadableImageError, match=tmp_path.name):
        decode(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=60)
@given(kind=st.sampled_from(["JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP"]), data=st.data())
def test_broken_bytes_give_an_image_or_one_of_our_errors(kind, data):
    file = bytearray(content(Image.fromarray(SLICE), kind))
    places = data.draw(st.lists(st.integers(0, min(len(file), 400) - 1), min_size=1, max_size=8))
    for place in places:
        file[place] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(file), limits=Limits(max_pixels=1_000_000)).pixels.size
    except InputError as error:
        assert error.remedy


def test_real_images(data):
    files = [path for path in sorted((data / "preet").rglob("*.*")) if path.suffix.lower() != ".csv"]
    files = [path for path in files if path.suffix == ".tif"][:5] + random.Random(0).sample(files, 25)
    for path in files:
        decoded = decode(path)
        with Image.open(path) as image:
            if image.mode in ("L", "RGB", "P"):
                np.testing.assert_array_equal(decoded.rgb(), np.asarray(image.convert("RGB")))
        assert decoded.grey().ndim == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_one_differing_channel_of_one_pixel_is_a_colour(dtype):
    alike = np.repeat(np.random.default_rng(0).integers(0, 250, (20, 21, 1)).astype(dtype), 3, axis=2)
    assert DecodedImage(alike, "PNG", "RGB").colourless
    np.testing.assert_array_equal(DecodedImage(alike, "PNG", "RGB").grey(), alike[..., 0])
    for place in ((0, 0, 0), (0, 0, 2), (7, 8, 1), (19, 20, 2)):
        other = alike.copy()
        other[place] += 1
        assert not DecodedImage(other, "PNG", "RGB").colourless
    assert DecodedImage(alike[..., 0], "PNG", "L").colourless


def test_alike_channels_of_a_file_are_one_in_memory_and_the_same_pixels():
    grey = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    alike = np.repeat(grey[..., None], 3, axis=2)
    decoded = decode(content(Image.fromarray(alike)))
    assert decoded.colourless and np.shares_memory(decoded.grey(), decoded.pixels[..., 2])
    np.testing.assert_array_equal(decoded.rgb(), alike)
    np.testing.assert_array_equal(decoded.grey("B"), grey)
    alike[39, 29, 2] ^= 1
    other = decode(content(Image.fromarray(alike)))
    assert not other.colourless
    np.testing.assert_array_equal(other.pixels, alike)


@pytest.mark.parametrize(("dtype", "unit"), [(np.uint8, 1), (np.uint16, 257)])
def test_grey_is_luma_that_gives_way_to_the_weakest_channel_by_chroma(dtype, unit):
    rgb = np.random.default_rng(1).integers(0, 255 * unit, (64, 64, 3)).astype(dtype)
    rgb[:32] = rgb[:32, :, :1] // 2 + rgb[:32] % (20 * unit)  # hardly coloured
    luma = (rgb.astype(np.int64) @ [19595, 38470, 7471] + 0x8000) >> 16
    share = np.clip((np.ptp(rgb, axis=2) / unit - 32) / 32, 0, 1)
    expected = luma + (rgb.min(axis=2) - luma) * share
    assert np.abs(DecodedImage(rgb, "PNG", "RGB").grey() - expected).max() <= 0.51


ENCODED = {
    "PNG": {},
    "JPEG": {"quality": 90},
    "JPEG progressive": {"quality": 90, "progressive": True},
    "TIFF": {},
    "TIFF lzw": {"compression": "tiff_lzw"},
    "TIFF deflate": {"compression": "tiff_adobe_deflate"},
    "GIF": {},
    "BMP": {},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "JPEG2000": {},
    "PPM": {},
}


def strictly(file):
    """What Pillow's own first load says: the pixels, or None where it raises."""
    try:
        with Image.open(io.BytesIO(file)) as image:
            image.load()
            return np.asarray(image)
    except Exception:
        return None


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ENCODED)
def test_where_the_decoder_fails_nothing_is_returned(name):
    file = content(Image.fromarray(draw(3, tumor=True, size=128).pixels), name.partition(" ")[0], **ENCODED[name])
    places = np.random.default_rng(0).integers(40, len(file) - 12, 60).tolist()
    broken = [file[:place] + bytes([file[place] ^ 0x55]) + file[place + 1 :] for place in places]
    broken += [file[: int(len(file) * share)] for share in (0.2, 0.5, 0.9, 0.99)]
    failed = 0
    for one in broken:
        if strictly(one) is None:
            failed += 1
            with pytest.raises(UnreadableImageError):
                decode(one)
    assert failed >= 4  # at least those that end early


def test_any_changed_byte_of_the_data_of_a_png_is_told():
    file = content(Image.fromarray(SLICE))
    start = file.index(b"IDAT") + 4
    length = int.from_bytes(file[start - 8 : start - 4], "big")
    assert strictly(file) is not None
    for place in np.linspace(start, start + length + 3, 237).astype(int):
        with pytest.raises(UnreadableImageError):
            decode(file[:place] + bytes([file[place] ^ 1]) + file[place + 1 :])


@pytest.mark.parametrize("name", [name for name in ENCODED if name not in ("TIFF", "BMP", "PPM")])
def test_a_file_whose_second_half_is_zeros_is_broken(name):
    """Without compression zeros are black pixels, which cannot be told from others."""
    image = Image.fromarray(draw(3, tumor=True, size=128).pixels)
    file = content(image, name.partition(" ")[0], **ENCODED[name])
    half = len(file) // 2
    with pytest.raises(UnreadableImageError):
        decode(file[:half] + bytes(len(file) - half))


def test_what_follows_the_end_of_an_image_does_not_matter():
    image = Image.fromarray(SLICE)
    for kind in ("JPEG", "PNG", "WEBP"):
        file = content(image, kind)
        for tail in (bytes(5000), b"trailing text", b"\xff\xd9" * 20, b"\0\0\0\x18ftypmp42 \xff\xda video"):
            np.testing.assert_array_equal(decode(file + tail).pixels, decode(file).pixels)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_the_end_of_a_thumbnail_is_not_that_of_its_image(options):
    exif = b"Exif\0\0" + content(Image.fromarray(SLICE[::2, ::2]), "JPEG")
    file = content(Image.fromarray(SLICE), "JPEG", exif=exif, **options)
    assert file.count(b"\xff\xd9") == 2
    check_whole(file, "JPEG", "a.jpg")
    for tail in (b"", b"\xff\xda video"):
        with pytest.raises(UnreadableImageError, match="ends before the end"):
            check_whole(file[:-2] + tail, "JPEG", "a.jpg")


@pytest.mark.parametrize("padding", [-2000, -8192, -32768])
def test_signed_padding_is_as_dark_as_the_darkest_pixel(padding):
    head = SLICE.astype(np.int32) * 14
    outside = np.hypot(*np.indices(head.shape) - 31.5) > 33
    decoded = decode(content(Image.fromarray(np.where(outside, padding, head).astype(np.int32)), "TIFF"))
    assert decoded.rescale == (0.0, 1.0)
    np.testing.assert_array_equal(decoded.grey(), np.where(outside, head[~outside].min(), head))


def test_broken_exif_costs_no_image():
    file = content(Image.fromarray(SLICE), "JPEG", exif=b"Exif\0\0nothing of the kind")
    np.testing.assert_array_equal(decode(file).pixels, decode(content(Image.fromarray(SLICE), "JPEG")).pixels)


def test_a_fault_of_ours_is_not_blamed_on_the_file(monkeypatch):
    def fails(image):
        raise TypeError("ours")

    monkeypatch.setattr("brainsift.images.decode._as_uint8_channels", fails)
    with pytest.raises(TypeError, match="ours"):
        decode(content(Image.fromarray(SLICE)))


def test_too_little_memory_is_not_blamed_on_the_file():
    with pytest.raises(MemoryError), decoder_errors("a.png"):
        raise MemoryError


def tiff(path, pixels, *, photometric=1, sample_format=1):
    """Writes a TIFF file of one strip, of any type of numbers."""
    data, (height, width) = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes(), pixels.shape
    tags = {256: width, 257: height, 258: pixels.dtype.itemsize * 8, 259: 1, 262: photometric, 273: 8, 277: 1}
    tags |= {278: height, 279: len(data), 339: sample_format}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + directory + bytes(4))
    return path


@pytest.mark.parametrize(("kind", "sample_format"), [("u1", 1), ("i1", 2), ("u2", 1), ("f4", 3)])
@pytest.mark.parametrize("photometric", [1, 0])
def test_white_is_zero_and_signed_bytes_in_tiff(tmp_path, kind, sample_format, photometric):
    head = draw(3, tumor=True, size=64).pixels.astype(np.int64)
    pixels = {"u1": head, "i1": head // 2 - 64, "u2": head * 257, "f4": head / 100 - 1}[kind].astype(kind)
    if (kind, photometric) == ("i1", 0):
        return  # Pillow refuses it
    found = decode(tiff(tmp_path / "a.tif", pixels, photometric=photometric, sample_format=sample_format))
    bright = found.grey().astype(np.float64)
    sign = 1 if photometric else -1
    assert np.corrcoef(bright.ravel(), sign * pixels.astype(np.float64).ravel())[0, 1] > 0.9999
    if kind != "u1":
        stored = found.rescale[0] + found.rescale[1] * bright
        assert np.abs(stored - pixels).max() <= 1e-3 * np.ptp(pixels.astype(np.float64))


@pytest.mark.parametrize("photometric", [1, 0])
def test_a_tiff_of_64_bit_floats_is_read_as_one_of_32(tmp_path, photometric):
    head = draw(3, tumor=True, size=64).pixels / 100 - 1
    wide, single = (
        decode(tiff(tmp_path / kind, head.astype(kind), photometric=photometric, sample_format=3))
        for kind in ("f8", "f4")
    )
    assert np.array_equal(wide.pixels, single.pixels) and wide.rescale == single.rescale


def test_a_tiff_of_numbers_that_are_not_read_says_what_to_do(tmp_path):
    head = draw(3, tumor=True, size=64).pixels
    with pytest.raises(UnreadableImageError, match=r"64-bit integers.*Save it with 8 or 16 bits") as caught:
        decode(tiff(tmp_path / "a.tif", head.astype(np.int64), sample_format=2))
    assert caught.value.reason is Reason.UNSUPPORTED
    with pytest.raises(UnreadableImageError, match=r"beyond 32-bit floats\. Scale them") as caught:
        decode(tiff(tmp_path / "a.tif", head * 1e300, sample_format=3))
    assert caught.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("scale", [1e300, 7e305, 1e-300, 1e-305])
def test_numbers_of_any_size_become_the_same_picture(scale):
    head = draw(3, tumor=True, size=64).pixels.astype(np.float64)
    plain, found = from_array(head), from_array(head * scale)
    assert np.abs(found.pixels.astype(int) - plain.pixels).max() <= 1
    stored = found.rescale[0] + found.rescale[1] * found.pixels.astype(np.float64)
    assert np.abs(stored / scale - head).max() < 0.01


@pytest.mark.parametrize(("scale", "offset"), [(1e300, 0.0), (1e-300, 0.0), (1.0, 1e12), (1.0, 0.0)])
def test_float32_holds_what_float64_did(scale, offset):
    head = draw(3, tumor=True, size=64).pixels.astype(np.float64)
    values = head * scale + offset
    values[0, :2] = np.nan, np.inf
    single, (intercept, slope) = in_float32(values)
    assert single.dtype == np.float32 and np.isnan(single[0, 0]) and np.isinf(single[0, 1])
    back = (intercept + slope * single[1:].astype(np.float64) - offset) / scale
    assert np.abs(back - head[1:]).max() < 1e-3
    if scale == 1 and not offset:
        assert np.array_equal(single[1:], head[1:]) and (intercept, slope) == (0, 1)


def test_integers_of_32_bits_reach_beyond_the_middle(tmp_path):
    head = draw(3, tumor=True, size=64).pixels.astype(np.uint32)
    for scale in (1, 1 << 24):
        found = decode(tiff(tmp_path / "a.tif", head * np.uint32(scale))).grey()
        assert np.corrcoef(found.ravel().astype(float), head.ravel())[0, 1] > 0.9999
    signed = head.astype(np.int32) * 1000 - 99_000
    found = decode(tiff(tmp_path / "b.tif", signed, sample_format=2)).grey()
    assert np.corrcoef(found.ravel().astype(float), signed.ravel())[0, 1] > 0.9999


@pytest.mark.parametrize("spike", [1e7, -1e7])
def test_a_spike_leaves_the_greys_to_the_head(spike):
    head = draw(3, tumor=True, size=64).pixels.astype(np.float32)
    hurt = head.copy()
    hurt[9, 9] = spike
    found = from_array(hurt)
    assert np.unique(found.pixels).size > 100
    stored = found.rescale[0] + found.rescale[1] * found.pixels.astype(np.float64)
    assert np.abs(np.delete((stored - head).ravel(), 9 * 64 + 9)).max() < 0.2


def test_other_kinds_of_arrays_count_as_plain_ones():
    head = draw(3, tumor=True, size=64).pixels
    assert np.array_equal(from_array(np.ma.array(head)).pixels, head)
    for pixels in (head, head.astype(np.float32)):
        found = from_array(np.ma.masked_less(pixels, 10)).grey()
        assert type(found) is np.ndarray
        assert np.corrcoef(found.ravel().astype(float), np.where(head < 10, 0, head).ravel())[0, 1] > 0.9999


def test_arrays_with_one_channel_are_grey():
    head = draw(3, tumor=True, size=64).pixels
    for pixels in (head[None], head[..., None], head[..., None].astype(np.float32)):
        assert np.array_equal(from_array(pixels).grey().argmax(), head.argmax())
        assert from_array(pixels).grey().shape == head.shape
    assert np.array_equal(from_array(head[None]).pixels, head)
    with pytest.raises(UnreadableImageError, match="shape"):
        from_array(np.zeros((2, 64, 64)))
