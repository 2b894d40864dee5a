"""DICOM and NIfTI: slices in order and upright whatever the file, as the header wants them, and read one by one."""

import csv
import gzip
import shutil
import subprocess
import sys
import zlib
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from brainsift.batch.predict_files import predict_files
from brainsift.cli.main import main
from brainsift.core.errors import ImageSizeError, UnreadableImageError, UsageError
from brainsift.core.reasons import Reason
from brainsift.images.decode import Limits
from brainsift.images.phantom import draw
from brainsift.inference.bundle import load_bundle
from brainsift.inference.decision import Prediction, Rule, log_odds
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import summarise_volumes
from brainsift.volumes import nifti as nifti_module
from brainsift.volumes.dicom import header_reason
from brainsift.volumes.inputs import Skipped, find_images
from brainsift.volumes.nifti import nifti_slices
from brainsift.volumes.reader import find_slice, kind_of, read_slice, slices_of
from brainsift.volumes.slices import NEARLY_EMPTY, coarse_of, nearly_empty

from .drawn import dataset, frame_header, save

SIDE = 64
HEAD = draw(5, tumor=True, size=SIDE).pixels
LEVELS = np.array([0.02, 0.7, 0.8, 0.9, 1.0, 0.9])


def volume():
    """(n, height, width) int16: one head at growing brightness; the first slice is nearly empty."""
    stack = np.rint(HEAD * LEVELS[:, None, None] * 4).astype(np.int16)
    stack[0, :, : SIDE - 4] = 0
    return stack


def nifti(path, array, affine=None):
    nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def turned(stack):
    """From slices as shown to a right-anterior-superior volume."""
    return stack[:, ::-1, ::-1].transpose(2, 1, 0)


def like(first, second):
    return np.corrcoef(first.ravel().astype(float), second.ravel().astype(float))[0, 1]


@pytest.fixture
def predictor(bundle_folder):
    return Predictor(load_bundle(bundle_folder), threads=1)


def test_the_content_tells_the_kind(tmp_path):
    save(tmp_path / "picture.jpg", HEAD)
    nifti(tmp_path / "a.nii.gz", turned(volume()))
    shutil.copy(tmp_path / "a.nii.gz", tmp_path / "b.dat")
    Image.fromarray(HEAD).save(tmp_path / "photo.png")
    shutil.copy(tmp_path / "photo.png", tmp_path / "photo.dcm")
    (tmp_path / "torn.dcm").write_bytes(b"\x08\0")
    names = ("picture.jpg", "a.nii.gz", "b.dat", "photo.png", "photo.dcm", "torn.dcm", "none")
    kinds = ["dicom", "nifti", "nifti", "", "", "dicom", ""]
    assert [kind_of(tmp_path / name) for name in names] == kinds
    assert len(list(slices_of([tmp_path / "b.dat"]))) == len(LEVELS)


def test_rescale_window_and_inversion_are_followed(tmp_path):
    plain = read_slice(save(tmp_path / "a.dcm", HEAD)).pixels
    assert like(plain, HEAD) > 0.9999
    rescaled = read_slice(save(tmp_path / "b.dcm", HEAD, RescaleSlope="2.5", RescaleIntercept="-100")).pixels
    assert like(rescaled, HEAD) > 0.9999
    windowed = read_slice(save(tmp_path / "c.dcm", HEAD, WindowCenter=["50", "9"], WindowWidth=["40", "9"])).pixels
    assert like(windowed, np.clip(HEAD, 30, 70)) > 0.999
    both = {"RescaleSlope": "2", "RescaleIntercept": "-100", "WindowCenter": "0", "WindowWidth": "80"}
    assert like(read_slice(save(tmp_path / "d.dcm", HEAD, **both)).pixels, np.clip(HEAD, 30, 70)) > 0.999
    inverted = save(tmp_path / "e.dcm", 255 - HEAD, PhotometricInterpretation="MONOCHROME1")
    assert like(read_slice(inverted).pixels, HEAD) > 0.9999
    deep = {"PhotometricInterpretation": "MONOCHROME1", "PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
    signed = (30000 - 250 * HEAD.astype(np.int32)).astype(np.int16)
    assert like(read_slice(save(tmp_path / "g.dcm", signed, **deep)).pixels, HEAD) > 0.9999
    assert like(read_slice(save(tmp_path / "f.dcm", HEAD, WindowCenter="5", WindowWidth="0")).pixels, HEAD) > 0.9999


def test_pixels_are_made_square_and_colours_stay(tmp_path):
    assert read_slice(save(tmp_path / "a.dcm", HEAD, PixelSpacing=[2, 1])).pixels.shape == (2 * SIDE, SIDE)
    colours = np.stack([HEAD, HEAD // 2, HEAD // 4], axis=2)
    tags = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": colours.tobytes()}
    assert np.array_equal(read_slice(save(tmp_path / "b.dcm", HEAD, **tags, **depth)).pixels, colours)


@pytest.mark.parametrize("frames", [1, 2])
def test_lookup_tables_are_followed(tmp_path, frames):
    def shown(name, pixels=HEAD, **tags):
        many = {"NumberOfFrames": frames} if frames > 1 else {}
        path = save(tmp_path / name, np.stack([pixels] * frames), **many, **tags)
        return read_slice(f"{path}#2" if frames > 1 else path).pixels

    def table(values):
        item = Dataset()
        item.LUTDescriptor, item.LUTData, item.ModalityLUTType = [256, 0, 16], values.tobytes(), "US"
        return Sequence([item])

    inverting = np.arange(255, -1, -1, dtype=np.uint16)
    assert like(shown("modality.dcm", 255 - HEAD, ModalityLUTSequence=table(inverting)), HEAD) > 0.9999
    assert like(shown("shown.dcm", 255 - HEAD, VOILUTSequence=table(inverting)), HEAD) > 0.9999
    palette = {"PhotometricInterpretation": "PALETTE COLOR", "BitsStored": 8, "HighBit": 7}
    for colour, factor in (("Red", 256), ("Green", 128), ("Blue", 0)):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        levels = np.arange(256, dtype=np.uint16) * factor
        palette[f"{colour}PaletteColorLookupTableData"] = levels.tobytes()
    colours = shown("palette.dcm", **palette)
    assert colours.shape == (SIDE, SIDE, 3)
    assert like(colours[..., 0], HEAD) > 0.9999 and like(colours[..., 1], HEAD) > 0.999 and not colours[..., 2].any()


@pytest.mark.parametrize(
    ("tags", "shape"), [({"PixelAspectRatio": [2, 1]}, (128, 64)), ({"PixelAspectRatio": [1, 2]}, (64, 128))]
)
def test_the_ratio_of_pixels_counts_where_their_spacing_is_missing(tmp_path, tags, shape):
    assert read_slice(save(tmp_path / "a.dcm", HEAD, **tags)).pixels.shape == shape
    spaced = save(tmp_path / "b.dcm", HEAD, PixelSpacing=[1, 1], **tags)
    assert read_slice(spaced).pixels.shape == HEAD.shape


def test_series_of_a_folder_are_kept_apart_and_in_order(tmp_path):
    order = np.random.default_rng(0).permutation(12)
    for name, index in zip(range(12), order, strict=True):
        series, level = divmod(int(index), 6)
        tags = {"SeriesDescription": f"T{series}", "SeriesNumber": series + 1, "number": 50 - level}
        save(tmp_path / f"{name}", volume()[level], series=f"1.2.{series}", place=5.0 * level, **tags)
    found = list(slices_of(find_images([tmp_path])))
    assert len({piece.volume for piece in found[:6]}) == 1 and len({piece.volume for piece in found}) == 2
    brightness = np.array([piece.load().coarse.mean() for piece in found]).reshape(2, 6)
    assert (np.argsort(brightness[:, :5]) == np.arange(5)).all()
    assert {piece.volume for piece in found} == {f"{tmp_path}#1 T0", f"{tmp_path}#2 T1"}


def test_without_positions_the_number_counts_then_the_name(tmp_path):
    nowhere = {"ImagePositionPatient": None}
    for name, number in (("a", 10), ("b", 9), ("c", 2)):
        save(tmp_path / name, HEAD, number=number, **nowhere)
    assert [Path(piece.name).name for piece in slices_of(find_images([tmp_path]))] == ["c", "b", "a"]
    (tmp_path / "names").mkdir()
    for name in ("IM10.dcm", "IM9.dcm"):
        save(tmp_path / "names" / name, HEAD, InstanceNumber=None, **nowhere)
    found = slices_of(find_images([tmp_path / "names"]))
    assert [Path(piece.name).name for piece in found] == ["IM9.dcm", "IM10.dcm"]


def test_frames_are_slices_with_places_and_windows_of_their_own(tmp_path):
    groups = []
    for frame, place in enumerate((10, 0, 5)):
        group = frame_header(
            PlanePositionSequence={"ImagePositionPatient": [0, 0, place]},
            PixelValueTransformationSequence={"RescaleSlope": frame + 1, "RescaleIntercept": 0},
        )
        groups.append(group)
    tags = {"NumberOfFrames": 3, "PerFrameFunctionalGroupsSequence": Sequence(groups), "ImagePositionPatient": None}
    path = save(tmp_path / "many.dcm", np.stack([HEAD, HEAD, HEAD]), **tags)
    found = list(slices_of([path]))
    assert [piece.name for piece in found] == [f"{path}#{number}" for number in (2, 3, 1)]
    means = [piece.load().coarse.mean() for piece in found]
    assert means == pytest.approx([HEAD.mean() * factor for factor in (2, 3, 1)], rel=0.01)
    assert like(read_slice(f"{path}#3").pixels, HEAD) > 0.9999
    with pytest.raises(UsageError, match="holds 3 slices"):
        find_slice(path)


def test_a_header_that_is_no_mr_of_a_head_says_so(tmp_path, predictor):
    save(tmp_path / "a.dcm", HEAD, Modality="CT")
    save(tmp_path / "b.dcm", HEAD, BodyPartExamined="KNEE", series="1.3")
    save(tmp_path / "c.dcm", HEAD, BodyPartExamined=None, series="1.4", ImageType=["ORIGINAL", "PRIMARY", "M"])
    save(tmp_path / "d.dcm", HEAD, series="1.5", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    answers = list(predictor.predict(find_images([tmp_path])))
    assert [answers[place].status for place in (0, 1, 3)] == ["not_brain_mri"] * 3
    assert "is CT, not MR" in answers[0].detail and "shows KNEE" in answers[1].detail
    assert "mosaic" in answers[3].detail
    assert all(answer.probability is not None for answer in answers) and answers[0].decision == "refer"
    assert "header" not in answers[2].detail


def test_a_volume_counts_again_after_another_file(tmp_path):
    scan, single = nifti(tmp_path / "a.nii.gz", turned(volume())), save(tmp_path / "IM1", HEAD)
    assert len(list(slices_of([scan, scan, single, scan]))) == 2 * len(LEVELS) + 1


def test_what_cannot_be_read_says_why(tmp_path, predictor):
    save(tmp_path / "a.dcm", HEAD, PixelData=None)
    made = dataset(HEAD)
    made.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\0\0"])
    made["PixelData"].VR = "OB"
    made.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.80")  # JPEG-LS
    made.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    whole = save(tmp_path / "c.dcm", HEAD).read_bytes()
    (tmp_path / "c.dcm").write_bytes(whole[: len(whole) - 3000])
    (tmp_path / "d.dcm").write_bytes(whole[:300])
    (tmp_path / "e.dcm").write_bytes(b"nothing of the kind")
    scan = nifti(tmp_path / "f.nii.gz", turned(volume()))
    scan.write_bytes(scan.read_bytes()[:-2000])
    (tmp_path / "g.nii.gz").write_bytes(b"no gzip")
    answers = {Path(answer.path).name: answer for answer in predictor.predict(find_images([tmp_path]))}
    assert {answer.status for answer in answers.values()} == {"unreadable"}
    assert "without pixels" in answers["a.dcm"].detail
    assert "JPEG-LS" in answers["b.dcm"].detail and "Decompress" in answers["b.dcm"].detail
    assert "cannot be read as NIfTI" in answers["f.nii.gz#1"].detail
    assert len(answers) == 6 + len(LEVELS)
    with pytest.raises(UnreadableImageError, match="no such file"):
        read_slice(tmp_path / "none.dcm")


def test_a_volume_that_is_named_twice_is_scored_once(tmp_path, predictor):
    scan = nifti(tmp_path / "a.nii.gz", turned(volume()))
    (tmp_path / "series").mkdir()
    series = [save(tmp_path / "series" / f"{number}.dcm", HEAD, number=number) for number in (1, 2)]
    assert list(find_images([scan, *series, scan])) == [str(scan), *map(str, series)]
    found = [piece.name for piece in slices_of([scan, scan, *series, *series])]
    assert len(found) == len(set(found)) == len(LEVELS) + 2
    plain = tmp_path / "a.png"
    Image.fromarray(HEAD).save(plain)
    assert len(list(predictor.predict([plain, plain]))) == 2  # one answer a file


def test_a_second_version_of_nifti_without_its_size_is_refused_as_nibabel_does(tmp_path):
    path = tmp_path / "a.nii"
    content = nibabel.Nifti2Image(turned(volume()), np.eye(4)).to_bytes()
    path.write_bytes(content)
    assert len(list(slices_of([path]))) > 1
    path.write_bytes(bytes(4) + content[4:])
    with pytest.raises(nibabel.filebasedimages.ImageFileError):
        nibabel.load(path)
    (found,) = slices_of([path])
    with pytest.raises(UnreadableImageError, match="no NIfTI file in one piece"):
        found.load()


@pytest.mark.parametrize("kind", [nibabel.AnalyzeImage, nibabel.Nifti1Pair, nibabel.Nifti2Pair])
def test_half_of_a_pair_says_what_it_is_and_what_to_do(tmp_path, predictor, kind):
    kind(volume().astype(np.float32), np.eye(4)).to_filename(tmp_path / "scan.hdr")
    for answer in predictor.predict([tmp_path / "scan.hdr", tmp_path / "scan.img"]):
        assert answer.status == "unreadable"
        assert answer.detail.startswith("is one half of a volume in two files")
        assert "nib-convert NAME.hdr NAME.nii" in answer.detail
    (tmp_path / "scan.hdr").write_bytes(b"#?RADIANCE")
    answers = list(predictor.predict([tmp_path / "scan.hdr"]))
    assert "is no image in a format that is read here" in answers[0].detail


def test_files_without_a_preamble_and_datasets_are_read(tmp_path, predictor):
    made = dataset(HEAD)
    plain = Dataset({element.tag: element for element in made})
    plain.save_as(tmp_path / "old.dcm", implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert (tmp_path / "old.dcm").read_bytes()[128:132] != b"DICM"
    assert like(read_slice(tmp_path / "old.dcm").pixels, HEAD) > 0.9999
    expected = predictor.score(save(tmp_path / "new.dcm", HEAD)).probability
    for source in (made, plain, (tmp_path / "new.dcm").read_bytes()):
        assert predictor.score(source).probability == expected
    scan = save(tmp_path / "ct.dcm", HEAD, Modality="CT")
    for source in (scan, scan.read_bytes(), dataset(HEAD, Modality="CT")):
        assert predictor.score(source).status == "not_brain_mri"
    torn = predictor.score(scan.read_bytes()[:300])
    assert torn.status == "unreadable" and torn.detail


_SYNTAX = DeflatedExplicitVRLittleEndian.encode()
_HEADS = {
    "explicit, as the standard has it": b"\2\0\x10\0UI\x16\0" + _SYNTAX,
    "implicit": b"\2\0\x10\0\x16\0\0\0" + _SYNTAX,
}


@pytest.mark.filterwarnings("ignore:Expected explicit VR")
@pytest.mark.parametrize("head", _HEADS.values(), ids=_HEADS)
def test_a_deflated_file_is_known_as_such_whatever_its_header(tmp_path, head):
    """Else it could fill the memory: pydicom unpacks both."""
    content = b"\x10\0\x10\0PN\4\0Name" + b"\x10\0\0\x40LT\xfe\xff" + b" " * 0xFFFE
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path = tmp_path / "deflated.dcm"
    path.write_bytes(bytes(128) + b"DICM" + head + packer.compress(content) + packer.flush())
    assert pydicom.dcmread(path).PatientName == "Name"
    (found,) = slices_of([path], limits=Limits(max_bytes=50_000))
    with pytest.raises(ImageSizeError, match="unpacks to more than 50000 bytes"):
        found.load()


def test_every_orientation_gives_the_same_axial_slices(tmp_path):
    straight, shapes = turned(volume()), set()
    spacing = np.diag([1.0, 1.0, 3.0, 1.0])
    base = nibabel.Nifti1Image(straight, spacing)
    for axes, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        way = np.column_stack([axes, flips])
        image = base.as_reoriented(way)
        shapes.add(image.shape)
        image.to_filename(tmp_path / "a.nii")
        found = nifti_slices(tmp_path / "a.nii")
        pictures = np.stack([piece.read().pixels for piece in found])
        assert pictures.shape == (len(LEVELS), SIDE, SIDE)
        assert like(pictures, volume()) > 0.9999
    assert len(shapes) == 3


def test_oblong_voxels_are_shown_in_proportion(tmp_path):
    scan = nifti(tmp_path / "a.nii", turned(volume())[:, ::2], np.diag([1.0, 2.0, 3.0, 1.0]))
    assert nifti_slices(scan)[1].read().pixels.shape == (SIDE, SIDE)


def test_series_in_time_flat_images_and_broken_numbers(tmp_path):
    straight = turned(volume()).astype(np.float32)
    straight[0, 0, :3] = np.nan, np.inf, -np.inf
    found = nifti_slices(nifti(tmp_path / "a.nii", np.stack([straight, np.ones_like(straight)], axis=3)))
    assert found[0].note.startswith("the first of 2 volumes")
    assert like(np.stack([piece.read().pixels for piece in found]), volume()) > 0.9999
    (flat,) = nifti_slices(nifti(tmp_path / "b.nii", straight[:, :, 3]))
    assert flat.name == str(tmp_path / "b.nii") and like(flat.read().pixels, HEAD) > 0.999
    (sagittal,) = nifti_slices(nifti(tmp_path / "c.nii", HEAD[:, ::-1][::-1].T[None].copy()))
    assert like(sagittal.read().pixels, HEAD) > 0.9999
    with pytest.raises(ImageSizeError, match="bytes"):
        nifti_slices(tmp_path / "a.nii", limits=Limits(max_bytes=straight.nbytes - 1))
    with pytest.raises(UnreadableImageError, match="complex"):
        nifti_slices(nifti(tmp_path / "d.nii", straight.astype(np.complex64)))


def test_only_the_ends_of_a_volume_are_nearly_empty():
    full, sliver = np.zeros((32, 32)), np.zeros((32, 32))
    full[6:26, 6:26], sliver[6:26, 6:9] = 100, 100
    parts = [coarse_of(one) for one in (sliver, full, sliver, full, full * 0)]
    assert nearly_empty([*parts[:2], None, *parts[2:]]) == [True, False, False, False, False, True]
    assert nearly_empty(parts[:1]) == [False] and nearly_empty([parts[4]] * 3) == [False] * 3


@pytest.mark.slow
def test_volumes_are_read_when_their_turn_comes_and_let_go(tmp_path, predictor, monkeypatch):
    import weakref

    from brainsift.volumes import nifti as module

    alive, most = weakref.WeakSet(), []
    read = module._Volume._read

    def watched(self):
        alive.add(self)
        most.append(len(alive))
        return read(self)

    monkeypatch.setattr(module._Volume, "_read", watched)
    tall = turned(np.repeat(volume()[1:], 16, axis=0))
    for number in range(6):
        nifti(tmp_path / f"{number}.nii", tall)
    assert len(list(slices_of(find_images([tmp_path])))) == 480 and not most
    assert len(list(predictor.predict(find_images([tmp_path])))) == 480
    assert len(most) == 6 and max(most) <= 4 and len(alive) == 0


def test_the_answer_for_a_volume_is_the_best_run_of_three():
    def one(path, probability, status="ok", name="v"):
        logit = None if probability is None else log_odds(probability)
        return Prediction(path, status, logit, "no_tumor", volume=name)

    answers = [
        one("a", 0.9),
        one("b", 0.0),
        one("c", 0.3),
        one("d", 0.6),
        one("e", 0.6),
        one("f", 1.0, "not_brain_mri"),
    ]
    answers += [one("g", 0.7, name="w"), one("x", None, "unreadable", "y"), Prediction("p.png", "ok", 30.0, "tumor")]
    first, second, third = summarise_volumes(answers, Rule(0.4, volume_threshold=0.499999))
    assert (first.n_slices, first.n_scored, first.n_not_brain_mri, first.n_unreadable) == (6, 5, 1, 0)
    assert (first.volume, first.decision, first.reason) == ("v", "tumor", Reason.NONE)
    assert first.to_dict()["probability"] == 0.5
    assert [one.threshold for one in (first, second, third)] == [0.499999, 0.4, 0.4]  # two have but one slice
    assert summarise_volumes(answers, Rule(0.4, volume_threshold=0.51))[0].decision == "no_tumor"
    assert summarise_volumes(answers, Rule(0.4, margin=0.1, volume_threshold=0.51))[0].decision == "refer"
    assert first.suspicious == ("a", "d", "e", "c", "b")
    assert (second.to_dict()["probability"], second.decision) == (0.7, "tumor")
    assert (third.probability, third.decision, third.n_scored, third.n_unreadable) == (None, "refer", 0, 1)
    assert third.reason is Reason.NO_USABLE_SLICE


def test_the_command_answers_for_slices_and_volumes(bundle_folder, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    scan = nifti(tmp_path / "in" / "scan.nii.gz", turned(volume()))
    Image.fromarray(HEAD).save(tmp_path / "in" / "photo.png")
    out = ["--csv", str(tmp_path / "a.csv"), "--volumes", str(tmp_path / "v.csv"), "--heatmaps", str(tmp_path / "maps")]
    assert main(["predict", "--bundle", str(bundle_folder), "--threads", "1", str(tmp_path / "in"), *out]) == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["path"] for row in rows[1:]] == [f"{scan}#{number}" for number in range(1, 7)]
    assert [row["volume"] for row in rows] == ["", *[str(scan)] * 6]
    assert rows[1]["detail"] == NEARLY_EMPTY.words and rows[1]["decision"] == "refer"
    assert rows[1]["reason"] == "hardly_any_head" and rows[0]["reason"] == ""
    (row,) = csv.DictReader((tmp_path / "v.csv").read_text().splitlines())
    assert row["volume"] == str(scan) and int(row["n_slices"]) == 6 and int(row["n_scored"]) <= 5
    assert f"volume {scan}\t" in capsys.readouterr().out
    assert len(list((tmp_path / "maps").glob("0*.png"))) == 7
    assert (int(row["n_scored"]) > 0) == (tmp_path / "maps" / "volume-00000.png").exists()


def test_a_plain_image_imports_neither_reader(bundle_folder, tmp_path):
    Image.fromarray(HEAD).save(tmp_path / "a.png")
    code = (
        "import sys; from brainsift.cli.main import main; "
        f"main(['predict', '--bundle', {str(bundle_folder)!r}, {str(tmp_path / 'a.png')!r}]); "
        "sys.exit(bool({'pydicom', 'nibabel', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_real_volumes(data):
    folder = data / "volumes"
    if not folder.is_dir():
        pytest.skip(f"needs data: no real volumes in {folder}")
    series = list(slices_of(find_images([folder / "dicom_series"])))
    assert len(series) == 96 and len({piece.volume for piece in series}) == 1
    assert not any(piece.rejection for piece in series)
    numbers = [int(Path(piece.name).name[:4]) for piece in series]
    assert numbers in (sorted(numbers), sorted(numbers, reverse=True))
    assert series[48].read().pixels.shape == (256, 256)
    axial = nifti_slices(folder / "nifti" / "avg152T1_LR_nifti.nii.gz")
    assert len(axial) == 91 and axial[45].read().pixels.shape == (109, 91)


@pytest.mark.parametrize(("axis", "name"), [(0, "sagittal"), (1, "coronal"), (2, "axial")])
def test_a_volume_is_cut_in_the_plane_that_it_was_acquired_in(tmp_path, axis, name):
    thick = np.repeat(np.arange(1, 16, dtype=np.int16)[:, None, None], 48, axis=1).repeat(48, axis=2) * 10
    spacing = np.diag([*np.roll([5.0, 1.0, 1.0], axis), 1.0])
    for affine in (spacing, np.eye(4)):  # also where the header says nothing of the thickness
        found = nifti_slices(nifti(tmp_path / f"{name}.nii", np.moveaxis(thick, 0, axis), affine))
        assert [piece.load().coarse.mean() for piece in found] == sorted(piece.load().coarse.mean() for piece in found)
        assert len(found) == 15 and found[0].read().pixels.shape == (48, 48)
        assert all(np.ptp(piece.read().pixels) == 0 for piece in found)


@pytest.mark.parametrize(("thick", "axis", "note"), [(1.2, 2, ""), (1.6, 0, "cut in the sagittal plane")])
def test_a_slightly_thicker_voxel_does_not_turn_a_volume(tmp_path, thick, axis, note):
    path = nifti(tmp_path / "a.nii", np.ones((32, 44, 48), np.int16), np.diag([thick, 1.0, 1.0, 1.0]))
    found = nifti_slices(path)
    assert len(found) == (32, 44, 48)[axis] and {piece.note for piece in found} == {note}


def test_an_isotropic_volume_is_cut_across_the_body(tmp_path):
    cube = np.zeros((40, 44, 48), np.int16)
    cube[:, :, 10:] = 100
    found = nifti_slices(nifti(tmp_path / "a.nii", cube))
    assert len(found) == 48 and found[0].read().pixels.shape == (44, 40)


@pytest.mark.parametrize(
    ("kind", "scale", "offset"),
    [(np.float64, 1e300, 0), (np.float64, 1e-300, 0), (np.float64, 1, 1e12), (np.float32, 1e-41, 0)],
)
def test_numbers_of_any_size_give_the_same_slices(tmp_path, kind, scale, offset, capsys):
    plain = nifti_slices(nifti(tmp_path / "plain.nii", turned(volume()).astype(np.float32)))
    values = turned(volume()).astype(np.float64) * scale + offset
    found = nifti_slices(nifti(tmp_path / "scan.nii", values.astype(kind)))
    for one, other in zip(plain, found, strict=True):
        assert np.abs(one.read().pixels.astype(int) - other.read().pixels).max() <= 256
    stored = found[-1].load().values()
    greys = stored.rescale[0] + stored.rescale[1] * stored.grey.astype(np.float64)
    assert np.abs((greys - offset) / scale - volume()[-1]).max() < 6
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("spike", [1e7, -1e7])
def test_a_spike_leaves_the_greys_to_the_head(tmp_path, spike):
    values = turned(volume()).astype(np.float32)
    hurt = values.copy()
    hurt[30, 30, 3] = spike
    plain, found = (
        [piece.read().pixels for piece in nifti_slices(nifti(tmp_path / f"{name}.nii", array))]
        for name, array in (("a", values), ("b", hurt))
    )
    assert all(like(one, other) > 0.9999 for one, other in zip(plain[4:], found[4:], strict=True))


def test_a_header_that_says_two_ways_how_the_head_lies_is_noted(tmp_path):
    image = nibabel.Nifti1Image(turned(volume()), np.diag([1, 1, 5, 1]))
    image.set_sform(np.diag([1, 1, 5, 1]), 1)
    for number, (qform, words) in enumerate(
        [(np.diag([1.1, 1, 5, 1]), ""), (np.array([[0, 0, 5, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]), "sform")]
    ):
        image.set_qform(qform, 1)
        image.to_filename(tmp_path / f"{number}.nii")
        pieces = nifti_slices(tmp_path / f"{number}.nii")
        assert len(pieces) == 6 and all(words in piece.note and bool(words) == bool(piece.note) for piece in pieces)


def test_a_slope_beyond_float32_gives_the_same_slices(tmp_path, capsys):
    path = nifti(tmp_path / "scan.nii", turned(volume()))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([3e38, 0], "<f4").tobytes()  # scl_slope, scl_inter
    (tmp_path / "steep.nii").write_bytes(content)
    for one, other in zip(nifti_slices(path), nifti_slices(tmp_path / "steep.nii"), strict=True):
        assert np.abs(one.read().pixels.astype(int) - other.read().pixels).max() <= 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("tags", [{}, {"PixelSpacing": [1, 2]}, {"PhotometricInterpretation": "MONOCHROME1"}])
def test_doubles_of_a_dicom_file_are_read_as_far_as_32_bits_reach(tmp_path, tags):
    def doubles(name, scale):
        pixels = {"DoubleFloatPixelData": (HEAD * scale).astype("<f8").tobytes(), "PixelData": None}
        depth = {"BitsAllocated": 64, "BitsStored": None, "HighBit": None, "PixelRepresentation": None}
        return save(tmp_path / name, HEAD, **pixels, **depth, **tags)

    wanted = read_slice(save(tmp_path / "plain.dcm", HEAD, **tags)).pixels
    found = read_slice(doubles("a.dcm", 1e20)).pixels
    assert found.shape == wanted.shape and like(found, wanted) > 0.9999
    with pytest.raises(UnreadableImageError, match=r"beyond 32-bit floats\. Scale them"):
        read_slice(doubles("b.dcm", 1e60))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_voxels_that_start_within_the_header_are_refused(tmp_path, kind):
    path = tmp_path / "scan.nii"
    kind(turned(volume()), np.eye(4)).to_filename(path)
    place, number = (slice(108, 112), "<f4") if kind is nibabel.Nifti1Image else (slice(168, 176), "<i8")
    content = bytearray(path.read_bytes())
    content[place] = np.zeros(1, number).tobytes()
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=r"start at byte 0, which is within its header\. Write (352|544)"):
        nifti_slices(path)


def test_a_fault_of_ours_is_not_blamed_on_a_volume(tmp_path, monkeypatch):
    def fails(values):
        raise TypeError("ours")

    monkeypatch.setattr("brainsift.volumes.nifti._as_uint16", fails)
    with pytest.raises(TypeError, match="ours"):
        nifti_slices(nifti(tmp_path / "a.nii", turned(volume())))[0].read()


@pytest.mark.slow
def test_the_first_volumes_of_a_fresh_process_are_read_by_several_threads(tmp_path):
    names = [str(nifti(tmp_path / f"{number}.nii.gz", turned(volume()))) for number in range(8)]
    code = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; "
        "from brainsift.volumes.nifti import nifti_slices; "
        "sys.setswitchinterval(1e-6); "
        "found = list(ThreadPoolExecutor(8).map(nifti_slices, sys.argv[1:])); "
        "sys.exit(not all(len(one) == 6 for one in found))"
    )
    assert subprocess.run([sys.executable, "-c", code, *names], check=False).returncode == 0


def header(**tags):
    return header_reason(dataset(HEAD, **tags))


@pytest.mark.parametrize(
    "part", ["CABEZA", "TESTA", "HOOFD", "BEYIN", "IAC", "EAR", "WHOLEBODY", "B", "T", "CSPINE", "ARMENIA"]
)
def test_a_word_that_names_no_other_part_of_the_body_refuses_nothing(part):
    assert header(BodyPartExamined=part) is None


@pytest.mark.parametrize(
    "part", ["KNEE", "LSPINE", "L SPINE LUMBAR", "KNIE", "GENOU", "RODILLA", "Ginocchio", "HEART", "SHOULDER_L"]
)
def test_another_part_of_the_body_is_refused(part):
    assert header(BodyPartExamined=part).code == Reason.OTHER_BODY_PART


@pytest.mark.parametrize("part", ["KNEE", "BRAIN"])
def test_another_part_of_the_body_is_scored_if_that_is_wanted(tmp_path, capsys, part):
    path = save(tmp_path / "a.dcm", draw(5, tumor=True, size=160).pixels, BodyPartExamined=part)
    strict, lax = (next(Predictor(threads=1, any_body_part=wanted).predict([path])) for wanted in (False, True))
    assert (strict.status, lax.status) == ("not_brain_mri" if part == "KNEE" else "ok", "ok")
    assert lax.decision == "tumor" and ("KNEE, not a head" in lax.detail) == (part == "KNEE")
    assert main(["predict", str(path), "--threads", "1", "--any-body-part"]) == 0
    assert "\ttumor\t" in capsys.readouterr().out


def test_a_head_among_other_words_is_one():
    for part in ("HEAD AND NECK", "BRAIN/CHEST", "HEADNECK"):
        assert header(BodyPartExamined=part) is None
    assert header(Modality="MRI") is None


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": "1.5", "RescaleIntercept": ""},
        {"RescaleSlope": ["1", "1"], "RescaleIntercept": "0"},
        {"RescaleSlope": "0", "RescaleIntercept": "0"},
        {"ModalityLUTSequence": Sequence([Dataset()])},
        {"ModalityLUTSequence": Sequence([])},
    ],
)
def test_a_rescaling_that_cannot_be_followed_leaves_the_stored_values(tmp_path, tags):
    piece = find_slice(save(tmp_path / "a.dcm", HEAD, **tags))
    assert like(piece.read().pixels, HEAD) > 0.9999
    assert bool(piece.note) == (list(tags.values()) != [Sequence([])])


@pytest.mark.parametrize("tag", ["PixelRepresentation", "BitsStored", "PhotometricInterpretation", "SamplesPerPixel"])
def test_what_a_header_lacks_has_its_usual_value(tmp_path, tag):
    made = dataset(HEAD, **{tag: None})
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert like(read_slice(tmp_path / "a.dcm").pixels, HEAD) > 0.9999


def test_a_data_set_keeps_its_header(predictor):
    made = dataset(HEAD.astype(np.uint16) * 16, PixelRepresentation=None, BitsStored=12, HighBit=15)
    before = made.to_json()
    assert predictor.score(made).status != "unreadable"
    assert made.to_json() == before


def test_frames_of_a_header_that_lacks_something_are_read_too(tmp_path):
    for tag in ("PixelRepresentation", "BitsStored"):
        made = dataset(np.stack([HEAD, HEAD[::-1]]), NumberOfFrames=2, **{tag: None})
        made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        assert like(read_slice(f"{tmp_path}/a.dcm#2").pixels, HEAD[::-1]) > 0.9999


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("aligned", ["left", "right"])
def test_bits_that_are_not_used_count_by_the_values_not_by_a_wrong_header(tmp_path, aligned, signed):
    values = HEAD.astype(np.int64) * 8 - 900 * signed
    wide = (values * 16 if aligned == "left" else values).astype(np.int16 if signed else np.uint16)
    tags = {"BitsStored": 12, "HighBit": 15, "WindowCenter": 1000 - 900 * signed, "WindowWidth": 2200}
    plain = {**tags, "HighBit": 11}
    expected = read_slice(save(tmp_path / "plain.dcm", values.astype(wide.dtype), **plain)).pixels
    assert np.array_equal(read_slice(save(tmp_path / "a.dcm", wide, **tags)).pixels, expected)
    save(tmp_path / "b.dcm", np.stack([wide] * 2), NumberOfFrames=2, **tags)
    assert np.array_equal(read_slice(f"{tmp_path}/b.dcm#2").pixels, expected)


def test_declared_padding_is_background(tmp_path):
    signed = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
    outside = np.hypot(*np.indices(HEAD.shape) - SIDE / 2 + 0.5) > SIDE / 2
    for value in (-2000, 3000):
        padded = np.where(outside, value, HEAD.astype(np.int16) * 4).astype(np.int16)
        pixels = read_slice(save(tmp_path / "a.dcm", padded, PixelPaddingValue=value, **signed)).pixels
        assert like(pixels, np.where(outside, HEAD.min(), HEAD)) > 0.999
    white = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0}
    padded = np.where(outside, 0, 1000 - HEAD.astype(np.int16) * 3).astype(np.int16)
    assert like(read_slice(save(tmp_path / "b.dcm", padded, **white)).pixels, np.where(outside, 0, HEAD)) > 0.99


@pytest.mark.parametrize(
    ("kind", "words"), [("LOCALIZER", "localizer"), ("MIP", "maximum"), ("ADC", "diffusion"), ("P", "phase")]
)
def test_what_is_no_usual_slice_is_noted(tmp_path, kind, words):
    path = save(tmp_path / "a.dcm", HEAD, ImageType=["DERIVED", "PRIMARY", kind])
    assert words in find_slice(path).note
    assert not find_slice(save(tmp_path / "b.dcm", HEAD, ImageType=["ORIGINAL", "PRIMARY", "M", "ND"])).note


def test_text_of_a_header_is_printable_and_on_one_line(tmp_path):
    made = dataset(HEAD, SeriesNumber=3)
    made.SeriesDescription = "T1\x1b[31m\r\nforged,row"
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    (piece,) = slices_of([tmp_path / "a.dcm"])
    assert piece.volume == f"{tmp_path}#3 T1 [31m forged,row"


def test_the_content_decides_whatever_the_name_ends_in(tmp_path):
    names = ("a.dicom", "b.DIC", "c.MR", "d", "e.1234", "f.dcm", "g.txt")
    for number, name in enumerate(names):
        save(tmp_path / name, HEAD, number=number, place=5.0 * number)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "DICOMDIR").write_bytes((tmp_path / "d").read_bytes())
    skipped = Skipped()
    assert [Path(path).name for path in find_images([tmp_path], skipped=skipped)] == sorted(names)
    assert skipped.count == 2
    assert [Path(name).name for name in skipped.names] == ["DICOMDIR", "notes.txt"]


def test_the_command_names_what_it_skipped(tmp_path, capsys):
    save(tmp_path / "a.dcm", HEAD)
    for name in ("b.txt", "c.exe", "d\x1b[31m.doc", "e.doc"):
        (tmp_path / name).write_bytes(b"no image")
    assert main(["predict", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "skipped 4 files, no image by name or content: 'b.txt', 'c.exe', 'd\\x1b[31m.doc', 1 more" in said
    result = predict_files([tmp_path])
    assert result.n_skipped == 4 and str(tmp_path / "b.txt") == result.skipped[0]
    assert predict_files([tmp_path / "a.dcm"]).n_skipped == 0


@pytest.mark.parametrize("name", ["a.mnc"])
def test_other_formats_of_volumes_name_their_converter(tmp_path, predictor, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b\x08nothing of the kind")
    (answer,) = predictor.predict(find_images([tmp_path]))
    assert answer.status == "unreadable" and answer.reason == Reason.UNSUPPORTED
    assert "mnc2nii" in answer.detail


@pytest.mark.parametrize("tags", [{}, {"PixelSpacing": [1, 2]}, {"PhotometricInterpretation": "MONOCHROME1"}])
@pytest.mark.parametrize("slope", [b"1,00", b"one ", b"NaN ", b"1e99", b"1e40"])
def test_a_slope_that_is_no_number_leaves_the_stored_values(tmp_path, slope, tags):
    path = save(tmp_path / "a.dcm", HEAD, RescaleSlope="2.25", RescaleIntercept="0", **tags)
    content = path.read_bytes()
    assert content.count(b"2.25") == 1
    path.write_bytes(content.replace(b"2.25", slope))
    piece = find_slice(path)
    shown = piece.read().pixels[:, :: 2 if "PixelSpacing" in tags else 1]
    assert abs(like(shown, HEAD)) > 0.95 and (like(shown, HEAD) < 0) == ("PhotometricInterpretation" in tags)
    assert f"RescaleSlope is {'beyond all grey values' if slope.startswith(b'1e') else 'no number'}" in piece.note


def test_a_volume_that_is_cut_off_is_read_once_for_all_of_its_slices(tmp_path, monkeypatch):
    path = tmp_path / "cut.nii.gz"
    nibabel.Nifti1Image(np.ones((64, 64, 40), np.int16), np.eye(4)).to_filename(tmp_path / "whole.nii")
    path.write_bytes(gzip.compress((tmp_path / "whole.nii").read_bytes()[:-9]))
    reads = []
    first = nifti_module._first_volume
    monkeypatch.setattr(nifti_module, "_first_volume", lambda path: reads.append(path) or first(path))
    found = list(Predictor(threads=2).predict([path]))
    assert [one.status for one in found] == ["unreadable"] * 40
    assert "cannot be read as NIfTI" in found[-1].detail
    assert reads == [path]
