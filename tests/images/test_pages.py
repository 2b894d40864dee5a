"""Each page of a file of several pictures is an image of its own, in the right order and with the right pixels."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from brainsift.core.errors import UnreadableImageError, UsageError
from brainsift.images import pages
from brainsift.images.decode import decode, open_image
from brainsift.images.pages import Pages, may_hold_pages
from brainsift.images.phantom import draw
from brainsift.inference.predictor import Predictor
from brainsift.volumes.reader import kind_of, read_slice, slices_of

SLICES = [draw(seed, tumor=seed % 2 == 0, size=64).pixels for seed in range(5)]
KINDS = {"tif": "TIFF", "gif": "GIF", "png": "PNG", "webp": "WEBP", "mpo": "MPO"}


def save(path, pages=SLICES, **options):
    pages = pages[:2] if path.suffix == ".mpo" else pages  # Pillow writes wrong places for more
    first, *others = (Image.fromarray(page).convert("RGB" if path.suffix == ".mpo" else "L") for page in pages)
    options = {"lossless": True} if path.suffix == ".webp" else {"quality": 95} if path.suffix == ".mpo" else options
    first.save(path, KINDS[path.suffix[1:]], save_all=True, append_images=others, **options)
    return path


@pytest.mark.parametrize("suffix", KINDS)
def test_each_page_is_a_slice(tmp_path, suffix):
    path = save(tmp_path / f"file.{suffix}")
    assert kind_of(path) == "pages"
    found = list(slices_of([path]))
    count = 2 if suffix == "mpo" else 5
    assert [piece.name for piece in found] == [f"{path}#{number}" for number in range(1, count + 1)]
    assert {piece.volume for piece in found} == {str(path)}
    for piece, pixels in zip(reversed(found), reversed(SLICES[:count]), strict=True):  # against the order, too
        grey = piece.read().grey().astype(int)
        assert np.abs(grey - pixels).mean() < (3 if suffix == "mpo" else 0.5)
    assert np.abs(read_slice(f"{path}#2").grey().astype(int) - SLICES[1]).mean() < 3
    with pytest.raises(UsageError, match=f"holds {count} slices"):
        read_slice(path)


@pytest.mark.parametrize("suffix", KINDS)
def test_one_page_is_a_plain_image(tmp_path, suffix):
    path = save(tmp_path / f"file.{suffix}", SLICES[:1])
    (found,) = slices_of([path])
    assert (found.name, found.volume) == (str(path), "")
    np.testing.assert_array_equal(found.read().grey(), decode(path).grey())


def test_pages_are_scored_one_by_one(tmp_path):
    path = save(tmp_path / "a.tif")
    singles = []
    for number, pixels in enumerate(SLICES):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        singles.append(tmp_path / f"{number}.png")
    predictor = Predictor(threads=2)
    together, apart = list(predictor.predict([path])), list(predictor.predict(singles))
    assert [one.logit for one in together] == [one.logit for one in apart]
    assert predictor.score(f"{path}#2").logit == apart[1].logit


def test_threads_share_the_file(tmp_path):
    pages = Pages(save(tmp_path / "a.gif"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: pages.decode(number, name="a").grey(), [3, 1, 5, 2, 4] * 4))
    for number, grey in zip([3, 1, 5, 2, 4] * 4, found, strict=True):
        np.testing.assert_array_equal(grey, SLICES[number - 1])


def test_reduced_copies_and_masks_are_no_slices(tmp_path):
    small = Image.fromarray(SLICES[0]).resize((32, 32))
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    small.encoderinfo = {"tiffinfo": tags}
    path = tmp_path / "a.tif"
    Image.fromarray(SLICES[0]).save(path, save_all=True, append_images=[small])
    assert Pages(path).numbers == [1]
    (found,) = slices_of([path])
    assert found.name == str(path)


def with_copies(path, *pages):
    """Saves a TIFF file; each page with a mark whether it is a reduced copy."""
    images = []
    for pixels, reduced in pages:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[254] = int(reduced)
        images.append(Image.fromarray(pixels))
        images[-1].encoderinfo = {"tiffinfo": tags}
    options = {"tiffinfo": images[0].encoderinfo["tiffinfo"]}
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


def test_pages_behind_a_reduced_copy_keep_their_numbers(tmp_path):
    small = SLICES[3][::2, ::2]
    path = with_copies(tmp_path / "a.tif", (SLICES[0], False), (small, True), (SLICES[1], False))
    assert [piece.name for piece in slices_of([path])] == [f"{path}#1", f"{path}#3"]
    for number, pixels in ((1, SLICES[0]), (3, SLICES[1])):
        np.testing.assert_array_equal(read_slice(f"{path}#{number}").grey(), pixels)
    for number, words in ((2, "reduced copy"), (0, "holds 2 slices"), (4, "has only 2 slices")):
        with pytest.raises(UsageError, match=words):
            read_slice(f"{path}#{number}")


def test_a_reduced_copy_before_its_page_is_not_read_for_it(tmp_path):
    path = with_copies(tmp_path / "a.tif", (SLICES[3][::2, ::2], True), (SLICES[0], False))
    assert Pages(path).numbers == [2]
    (found,) = slices_of([path])
    assert (found.name, found.volume) == (str(path), "")
    for image in (found.read(), read_slice(path), read_slice(f"{path}#1")):
        np.testing.assert_array_equal(image.grey(), SLICES[0])


def test_a_broken_page_is_told_each_time_and_costs_no_other(tmp_path):
    path = save(tmp_path / "a.tif", compression="tiff_adobe_deflate")
    content = bytearray(path.read_bytes())
    with Image.open(path) as image:
        image.seek(2)
        place = image.tag_v2[273][0]
    content[place : place + 200] = b"\xff" * 200
    path.write_bytes(content)
    found = list(slices_of([path]))
    for _ in range(2):
        for number, piece in enumerate(found):
            if number == 2:
                with pytest.raises(UnreadableImageError):
                    piece.read()
            else:
                np.testing.assert_array_equal(piece.read().grey(), SLICES[number])


def test_what_cannot_be_opened_is_one_slice_that_says_why(tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(b"GIF89a")
    (found,) = slices_of([path])
    assert (found.name, found.volume) == (str(path), "")
    with pytest.raises(UnreadableImageError):
        found.read()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # as an error it would hide what is tested
def test_a_broken_list_of_pages_makes_the_file_broken_for_the_audit_too(tmp_path):
    path = save(tmp_path / "a.tif", SLICES[:2])
    content = path.read_bytes()
    first = int.from_bytes(content[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    assert int.from_bytes(content[link : link + 4], "little")
    path.write_bytes(content[:link] + (1).to_bytes(4, "little") + content[link + 4 :])
    with pytest.raises(UnreadableImageError, match="cannot be decoded"):
        decode(path)
    (found,) = slices_of([path])
    with pytest.raises(UnreadableImageError, match="cannot be decoded"):
        found.load()


def test_pictures_that_imagej_does_not_list_are_told(tmp_path):
    head = Image.fromarray(draw(3, tumor=True, size=64).pixels)
    for images, words in ((1, ""), (3, "the first of 3 pictures, which ImageJ has put in one page")):
        head.save(tmp_path / "a.tif", tiffinfo={270: f"ImageJ=1.53t\nimages={images}\nslices={images}\n"})
        assert [piece.note for piece in slices_of([tmp_path / "a.tif"])] == [words]


def test_plain_images_need_no_second_look():
    def head(kind, **options):
        buffer = io.BytesIO()
        Image.fromarray(SLICES[0]).save(buffer, kind, **options)
        return buffer.getvalue()[:352]

    assert not any(may_hold_pages(head(kind)) for kind in ("PNG", "JPEG", "BMP", "WEBP"))
    assert may_hold_pages(head("TIFF")) and may_hold_pages(head("GIF"))


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_threads_that_come_late_do_not_draw_an_animation_again(tmp_path, suffix, monkeypatch):
    path = save(tmp_path / f"a.{suffix}", [draw(seed, tumor=False, size=32).pixels for seed in range(40)])
    numbers = [number for start in (5, 1, 13, 9, 21, 17, 29, 25, 37, 33) for number in range(start, start + 4)]
    expected = {}
    with Image.open(path) as image:
        for number in range(1, 41):
            image.seek(number - 1)
            expected[number] = np.asarray(image.convert("L")).astype(int)
    shared, opened = Pages(path), []
    monkeypatch.setattr(pages, "open_image", lambda *given: opened.append(given) or open_image(*given))
    for number in numbers:
        found = shared.decode(number, name="page").grey().astype(int)
        assert np.abs(found - expected[number]).mean() < 0.5
    assert len(opened) == 1
    shared.decode(2, name="page")  # going back is possible, too
    assert len(opened) == 2


def test_only_so_many_frames_are_kept(tmp_path, monkeypatch):
    path = save(tmp_path / "a.gif", [draw(seed, tumor=False, size=32).pixels for seed in range(20)])
    monkeypatch.setattr(pages, "_MAX_PASSED_BYTES", 3 * 3 * 32 * 32)  # colours, after the first
    shared = Pages(path)
    shared.decode(20, name="page")
    assert sorted(shared._passed) == [17, 18, 19]
