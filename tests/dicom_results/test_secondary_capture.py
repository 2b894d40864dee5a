"""The pictures: letters of directions, contour, banner, and the image that each was made of."""

import numpy as np
import pytest

from brainsift.dicom_results.secondary_capture import side_letters

pytestmark = pytest.mark.slow

YELLOW = (255, 255, 0)
OPPOSITE = str.maketrans("LRPAHF", "RLAPFH")
# where the letters stand: right, left, bottom and top of the picture
SIDES = {
    "axial": ("L", "R", "P", "A"),
    "sagittal": ("P", "A", "F", "H"),
    "coronal": ("L", "R", "F", "H"),
    "oblique": ("LP", "RA", "PFR", "AHL"),
}


def pictures(found):
    return [one.dataset for one in found.results.objects if one.kind == "secondary-capture"]


@pytest.mark.parametrize("name", SIDES)
def test_opposite_sides_have_opposite_letters(results, name):
    left, right, top, bottom = side_letters(np.array(results.planes[name]))
    assert (right, left, bottom, top) == SIDES[name]
    assert (left, top) == (right.translate(OPPOSITE), bottom.translate(OPPOSITE))


@pytest.mark.slow
@pytest.mark.parametrize("name", SIDES)
def test_the_orientation_is_that_of_the_plane(case, name):
    right, _, bottom, _ = SIDES[name]
    assert {tuple(one.PatientOrientation) for one in pictures(case(name))} == {(right, bottom)}


@pytest.mark.parametrize("name", SIDES)
def test_the_letters_stand_at_their_sides(case, monkeypatch, name):
    from PIL import ImageDraw

    from brainsift.dicom_results.secondary_capture import draw_capture
    from brainsift.dicom_results.sources import read_source

    drawn = []
    write = ImageDraw.ImageDraw.text

    def text(pen, place, words, *arguments, **options):
        drawn.append((words, place))
        write(pen, place, words, *arguments, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    one = read_source(case(name).volume).slices[0]
    sheet = draw_capture(one, 192, ["below"])
    middle = np.array(sheet.size) / 2
    found = {}
    for words, place in drawn:
        if set(words) <= set("LRPAHF"):
            across, along = np.array(place) - middle
            sides = ("left", "right") if abs(across) > abs(along) else ("top", "bottom")
            found[sides[int(across + along > 0)]] = words
    assert tuple(found[side] for side in ("right", "left", "bottom", "top")) == SIDES[name]


def test_a_picture_has_banner_contour_and_its_image(case):
    found = case("axial")
    shown = pictures(found)
    assert [one.InstanceNumber for one in shown] == [1, 2, 3, 4]
    for name, one in zip(found.volume.suspicious, shown, strict=True):
        pixels = one.pixel_array
        assert pixels.shape[2] == 3 and max(pixels.shape) >= 512
        assert (pixels[:24] != 0).any(), "a banner above"
        assert (pixels == YELLOW).all(axis=2).any(), "a contour"
        uid = one.SourceImageSequence[0].ReferencedSOPInstanceUID
        assert uid == f"1.2.826.0.1.77.1.{name.rpartition('IM')[2].removesuffix('.dcm')}"
        assert "RESEARCH ONLY" in one.DerivationDescription and one.BurnedInAnnotation == "NO"


def test_a_frame_of_a_file_is_named(case):
    found = case("enhanced")
    frames = [one.SourceImageSequence[0].ReferencedFrameNumber for one in pictures(found)]
    assert frames == [int(name.rpartition("#")[2]) for name in found.volume.suspicious]


def test_oblong_pixels_are_shown_as_they_are_in_the_patient(case):
    for one in pictures(case("anisotropic")):
        assert one.Rows - one.Columns == 100, "96 x 48 pixels of 2 x 4 mm make a square, between two strips of text"


def test_without_an_orientation_there_are_no_letters(results, tmp_path):
    folder = results.write_series(tmp_path / "one", ImageOrientationPatient=None)
    made = results.build(results.predict(folder))
    shown = [one.dataset for one in made.objects if one.kind == "secondary-capture"]
    assert shown and not any(one.PatientOrientation for one in shown)
