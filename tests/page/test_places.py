"""Sides and places: a marker in the left frontal lobe is shown left and in front, whatever the file's orientation."""

import re

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from playwright.sync_api import expect

from .actions import PHONE, wait_until, wait_until_scored
from .scans import draw_volume, write_series

pytestmark = pytest.mark.browser
BRIGHTEST = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data, width, height} = copy.getImageData(0, 0, canvas.width, canvas.height);
  let [count, x, y] = [0, 0, 0];
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 2] < 250) continue;
    [count, x, y] = [count + 1, x + (i / 4) % width, y + Math.floor(i / 4 / width)];
  }
  return count > 50 ? [x / count / width, y / count / height] : null;
}"""


def draw_marked():
    """(count, height, width) as the page shows them: the patient's right on the left, the front at the top."""
    slices = np.minimum(draw_volume(8, 9), 150).astype(np.int16)
    slices[4, 20:30, 62:72] = 255
    return slices


def letters(page):
    return [page.locator(f".side[data-side={side}]").text_content() for side in ("left", "right", "top", "bottom")]


def brightest(page):
    found = None

    def look():
        nonlocal found
        found = page.locator("#stage canvas").evaluate(BRIGHTEST)
        return found is not None

    wait_until(page, look)
    return found


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIL", "SRA"])
def test_the_marker_of_a_nifti_volume_is_left_and_in_front(open_page, tmp_path, codes):
    voxels = draw_marked()[:, ::-1, ::-1].transpose(2, 1, 0)
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    affine[:3, 3] = -96, -96, -10
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    stored = nibabel.orientations.apply_orientation(voxels, turn)
    nibabel.Nifti1Image(stored, affine @ inv_ornt_aff(turn, voxels.shape)).to_filename(tmp_path / "marked.nii")
    page = open_page()
    page.set_input_files("#pick-files", [tmp_path / "marked.nii"])
    wait_until_scored(page, 1)
    page.locator("#slice-slider").fill("5")
    expect(page.locator("#place")).to_have_text("Axial · S\u00a010.0\u00a0mm · 2.00 × 2.00 × 5.00\u00a0mm")
    assert letters(page) == ["R", "L", "A", "P"]
    page.keyboard.press("m")  # without the map
    x, y = brightest(page)
    assert x > 0.5 > y  # on the side of the letters L and A
    words = re.compile("the patient's right is on the left of the picture, anterior is at its top")
    expect(page.locator("#stage canvas")).to_have_attribute("aria-label", words)


@pytest.mark.parametrize(
    ("directions", "sides", "plane"),
    [
        ([1, 0, 0, 0, 1, 0], ["R", "L", "A", "P"], "Axial"),
        ([0, 1, 0, 0, 0, -1], ["A", "P", "S", "I"], "Sagittal"),
        ([1, 0, 0, 0, 0, -1], ["R", "L", "S", "I"], "Coronal"),
        ([1, 0, 0, 0, 0.8, 0.6], ["R", "L", "AI", "PS"], "Axial"),
    ],
)
def test_a_series_has_the_sides_of_its_header(open_page, tmp_path, directions, sides, plane):
    tags = {"ImageOrientationPatient": directions, "PixelSpacing": [1.5, 1.5], "SeriesDescription": "t1 post"}
    write_series(tmp_path / "series", 8, 6, **tags)
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "series")
    wait_until_scored(page, 1)
    expect(page.locator("#place")).to_contain_text(plane)
    expect(page.locator("#place")).to_contain_text("1.50 × 1.50")
    assert letters(page) == sides


def test_a_picture_without_a_header_has_no_sides(open_page, images):
    page = open_page(**PHONE)
    page.set_input_files("#pick-files", images[-1:])
    wait_until_scored(page, 1)
    expect(page.locator("#case-title")).to_be_visible()  # a single file opens its result
    expect(page.locator("#place")).to_have_text("")
    assert letters(page) == [""] * 4
