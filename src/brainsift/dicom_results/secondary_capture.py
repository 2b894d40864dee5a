"""Pictures of the most suspicious slices, which every viewer shows: contour, directions of the patient, a banner.

Source: DICOM PS3.3, A.8.1, C.7.6.1.1.1 (directions) and C.8.6.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from brainsift.dicom_results.assembly import BANNER, NOTICE, Assembly, code_item
from brainsift.dicom_results.result_set import ResultObject
from brainsift.dicom_results.sources import SourceSlice, Vector
from brainsift.images.standard import standard_map
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Decision, Rule
from brainsift.inference.overlay import CONTOUR, YELLOW, edge_of, stretched
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.volumes.geometry import Geometry

_SIDE = 512  # pixels, at least, of the longer side
_STRIP = 50  # height of the strips of text above and below the picture
_LETTERS = 20
_TEXT = 15
_WIDTH = 480  # of a strip, at least
_BANNER_COLOR, _TEXT_COLOR, _LETTER_COLOR = (255, 96, 64), (225, 225, 225), (120, 220, 255)
_HEAD_AND_FEET = str.maketrans("SI", "HF")  # what others call superior and inferior
_SIDES: dict[Decision, str] = {"tumor": "above", "no_tumor": "below", "refer": "too near to", "": "without"}


def make_captures(assembly: Assembly, volume: VolumePrediction, bundle: Bundle, rule: Rule) -> list[ResultObject]:
    """Makes one picture for each of the most suspicious slices, the most suspicious first.

    Raises:
        InputError: a file is gone.
    """
    pictures = suspicious_pictures(assembly, volume, bundle, rule)
    return [_capture(assembly, one, picture, number) for number, (one, picture) in enumerate(pictures, start=1)]


def suspicious_pictures(
    assembly: Assembly, volume: VolumePrediction, bundle: Bundle, rule: Rule
) -> list[tuple[SourceSlice, Image.Image]]:
    """Draws the most suspicious slices, the most suspicious first.

    Raises:
        InputError: a file is gone.
    """
    places = {one.path: place for place, one in enumerate(volume.slices, start=1)}
    told = volume.finding if volume.probability is None else f"{volume.finding}, probability {volume.probability:.3f}"
    of_series = f"series: {told} (threshold {volume.threshold:.3f})"
    drawn = []
    for path in volume.suspicious:
        one = assembly.source.by_path.get(path)
        if one is not None:
            found = one.prediction
            of_slice = f"slice {places[path]} of {volume.n_slices}: probability {found.probability:.3f}"
            lines = [f"{of_slice}, {_SIDES[found.decision]} the threshold {rule.threshold:.3f}", of_series]
            drawn.append((one, draw_capture(one, bundle.size, lines)))
    return drawn


def draw_capture(one: SourceSlice, size: int, lines: Sequence[str]) -> Image.Image:
    """Draws a slice in grey with a contour where the tumor map is 0.5 or more.

    Args:
        one: the slice.
        size: side of the network's input, pixels.
        lines: of text below the picture.

    Returns:
        RGB.

    Raises:
        InputError: the file is gone.
    """
    grey = one.load().image.grey()
    zoom = max(1, -(-_SIDE // max(grey.shape)))
    picture = np.kron(stretched(grey), np.ones((zoom, zoom), np.float32))
    colors = np.repeat(np.rint(picture).astype(np.uint8)[..., None], 3, axis=2)
    tumor_map = one.prediction.tumor_map
    if tumor_map is not None:
        heat = np.kron(standard_map(grey, tumor_map, size), np.ones((zoom, zoom), np.float32))
        colors[edge_of(heat >= CONTOUR)] = YELLOW
    height, width = picture.shape
    sheet = Image.new("RGB", (max(width, _WIDTH), height + 2 * _STRIP))
    left = (sheet.width - width) // 2
    sheet.paste(Image.fromarray(colors), (left, _STRIP))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT)
    pen.text((sheet.width / 2, 3), BANNER, _BANNER_COLOR, ImageFont.load_default(_LETTERS), "ma")
    pen.text((sheet.width / 2, _STRIP - 3), NOTICE, _TEXT_COLOR, font, "md")
    for number, line in enumerate(lines):
        pen.text((6, sheet.height - _STRIP + 3 + number * (_TEXT + 5)), line, _TEXT_COLOR, font, "la")
    if one.orientation is not None:
        _draw_letters(pen, one.orientation, (left, _STRIP, left + width, _STRIP + height))
    return sheet


def side_letters(orientation: Vector) -> tuple[str, str, str, str]:
    """Names the sides of the patient at the left, right, top and bottom of a picture, in the letters of DICOM.

    Args:
        orientation: (6,) direction of the rows, then of the columns.

    >>> side_letters(np.array([1.0, 0.0, 0.0, 0.0, 0.8, -0.6]))
    ('R', 'L', 'AH', 'PF')
    """
    right, down = ((part / (np.linalg.norm(part) or 1.0)).tolist() for part in orientation.reshape(2, 3))
    geometry = Geometry((right[0], right[1], right[2]), (down[0], down[1], down[2]), (0.0, 0.0, 0.0))
    left, end, top, bottom = (side.translate(_HEAD_AND_FEET) for side in geometry.sides)
    return left, end, top, bottom


def _draw_letters(pen: ImageDraw.ImageDraw, orientation: Vector, box: tuple[int, int, int, int]) -> None:
    """Writes at each side of the picture which way the patient lies there."""
    left, top, right, bottom = box
    across, along = (left + right) / 2, (top + bottom) / 2
    places = ((left + 5, along), (right - 5, along), (across, top + 4), (across, bottom - 4))
    font = ImageFont.load_default(_LETTERS)
    for letters, place, anchor in zip(side_letters(orientation), places, ("lm", "rm", "ma", "md"), strict=True):
        pen.text(place, letters, _LETTER_COLOR, font, anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def _capture(assembly: Assembly, one: SourceSlice, picture: Image.Image, number: int) -> ResultObject:
    from pydicom import Dataset
    from pydicom.sr.codedict import codes
    from pydicom.uid import SecondaryCaptureImageStorage

    shown = assembly.stand_in_image(one)
    made = Dataset()
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.ImageType, made.ConversionType = ["DERIVED", "SECONDARY"], "WSD"
    made.BurnedInAnnotation = "NO"  # nothing that tells who the patient is
    made.BodyPartExamined = "BRAIN"
    made.DerivationDescription = f"{BANNER}. The contour shows where the tumor map of the network is {CONTOUR} or more."
    made.ImageComments = NOTICE
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.Rows, made.Columns = picture.height, picture.width
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.PixelData = np.asarray(picture).tobytes()
    made.PatientOrientation = None if one.orientation is None else list(side_letters(one.orientation)[1::2])
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = shown.SOPClassUID, shown.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = [code_item(*codes.DCM.SourceImageForImageProcessingOperation[:3])]
    made.SourceImageSequence = [reference]
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = f"{assembly.when:%Y%m%d}", f"{assembly.when:%H%M%S}"
    made.SecondaryCaptureDeviceManufacturer = "brainsift"
    for element in assembly.source.compression:
        made[element.tag] = element
    return assembly.finish(made, "secondary-capture", number)
