"""Images that are neither T1, T2 nor FLAIR are said to be so, by words, by times and by names; these three are not."""

import csv
import shutil

import nibabel
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from brainsift.batch.predict_files import predict_files
from brainsift.images.phantom import draw
from brainsift.inference.cautions import Caution, cautions_of
from brainsift.inference.predictor import Predictor
from brainsift.volumes.contrast import contrast_note, contrast_of_name, other_contrast
from brainsift.volumes.reader import find_slice, slices_of

from .drawn import dataset, frame_header, save

HEAD = draw(3, tumor=False, size=96).pixels
SPIN_ECHO = {"ScanningSequence": "SE", "RepetitionTime": 3000, "EchoTrainLength": 8}


def of(*, private=(), **tags):
    header = Dataset()
    for name, value in tags.items():
        setattr(header, name, value)
    for group, creator, element, vr, value in private:
        header.private_block(group, creator, create=True).add_new(element, vr, value)
    return other_contrast(header)


@pytest.mark.parametrize(
    "description",
    """
    AX T1 POST|t1_mprage_sag_p2_iso|AX T2 FLAIR|t2_tirm_tra_dark-fluid|t2_space_dark-fluid_sag|AX T1 SE +C|T1 TSE KM|
    AXT2 FRFSE|sT1W_3D_TFE|3D T1 FFE|T1 GRE|BRAVO +C|AX 3D T1 POST PERF|AX T1 FLOW COMP|T2 PROPELLER|SAG MPRAGE GAD|
    FLAIR CUBE|T1_FLASH_3D|T1 DIXON W|mp2rage UNI|T2 DRIVE|REST SLAB T1|T1 hemisphere||AXT1POST|AXFLAIR|T1 PD|AX 3D
    """.replace("\n    ", "")
    .strip()
    .split("|"),
)
def test_t1_t2_and_flair_are_left_alone(description):
    assert of(SeriesDescription=description) == ""


@pytest.mark.parametrize(
    ("description", "wanted"),
    [
        ("ep2d_diff_3scan_trace_p2", "diffusion"),
        ("AxDWI", "diffusion"),
        ("DTI 30 dir", "diffusion"),
        ("Difusión", "diffusion"),
        ("T2 DWI b700", "diffusion"),
        ("SWI3D", "susceptibility imaging"),
        ("mIP_Images(SW)", "a maximum intensity projection"),
        ("T2*", "T2* gradient echo"),
        ("axt2star", "T2* gradient echo"),
        ("t2_fl2d_tra_hemo", "T2* gradient echo"),
        ("Ax GRE", "T2* gradient echo"),
        ("TOF_3D_multi-slab", "angiography"),
        ("Angio veineuse", "angiography"),
        ("T1 TOF", "angiography"),
        ("rs-fMRI", "functional imaging (BOLD)"),
        ("ep2d_perf", "perfusion"),
        ("Perfusión", "perfusion"),
        ("pCASL", "perfusion"),
        ("MTC on", "magnetization transfer"),
        ("3D SPACE DIR", "double inversion recovery"),
        ("STIR cor", "short-tau inversion recovery (STIR)"),
        ("3D CISS", "steady-state imaging"),
        ("gre_field_mapping", "a field map"),
        ("T1 mapping", "a computed map"),
        ("svs_se_135", "spectroscopy"),
        ("AX PD FS", "proton density"),
        ("Densité de protons", "proton density"),
        ("TSE DP", "proton density"),
        ("Protonendichte", "proton density"),
    ],
)
def test_words_of_the_description_say_how_it_was_made(description, wanted):
    assert of(SeriesDescription=description) == wanted
    assert of(SeriesDescription="", ProtocolName=description) in (wanted, "")


def test_of_two_echoes_only_the_short_one_is_proton_density():
    for tags in ({"SeriesDescription": "PD/T2 dual"}, {"SeriesDescription": "AX T2 DUAL", **SPIN_ECHO}, SPIN_ECHO):
        assert of(**tags, EchoTime=14).startswith("proton density")
        assert of(**tags, EchoTime=95) == ""


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ({**SPIN_ECHO, "EchoTime": 15}, "proton density, by its times"),
        ({**SPIN_ECHO, "EchoTime": 15, "InversionTime": 2500}, ""),
        ({**SPIN_ECHO, "EchoTime": 15, "ScanningSequence": ["SE", "IR"]}, ""),
        ({**SPIN_ECHO, "EchoTime": 15, "SeriesDescription": "T1 TSE"}, ""),
        ({**SPIN_ECHO, "EchoTime": 15, "RepetitionTime": 550}, ""),
        ({**SPIN_ECHO, "EchoTime": 0}, ""),
        ({"RepetitionTime": 3000, "EchoTime": 15}, ""),
        ({"ScanningSequence": "GR", "RepetitionTime": 700, "EchoTime": 20}, "T2* gradient echo, by its times"),
        ({"ScanningSequence": ["GR", "IR"], "RepetitionTime": 2300, "EchoTime": 2.9, "InversionTime": 900}, ""),
        ({"ScanningSequence": "GR", "RepetitionTime": 8, "EchoTime": 3}, ""),
        ({"SeriesDescription": "AX GRE C+", "EchoTime": 3}, ""),
        ({"ScanningSequence": ["EP", "SE"], "EchoTime": 80}, "echo planar imaging, by its sequence"),
    ],
)
def test_times_say_it_where_words_are_missing(tags, wanted):
    assert of(**tags) == wanted


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ({"DiffusionBValue": 1000.0}, "diffusion (b = 1000)"),
        ({"DiffusionBValue": 0.0}, ""),
        ({"SequenceName": "*ep_b50t"}, "diffusion (b = 50)"),
        ({"private": [(0x0019, "SIEMENS MR HEADER", 0x0C, "IS", "800")]}, "diffusion (b = 800)"),
        ({"private": [(0x0043, "GEMS_PARM_01", 0x39, "IS", ["8", "0"])], "SeriesDescription": "AX T2"}, ""),
        ({"SeriesDescription": "AX T2 DWI", "SequenceName": "*ep_b1000t"}, "diffusion (b = 1000)"),
        ({"AcquisitionContrast": "PROTON_DENSITY"}, "proton density"),
        ({"AcquisitionContrast": "T1", "SeriesDescription": "GRE"}, ""),
        ({"AcquisitionContrast": "FLUID_ATTENUATED", **SPIN_ECHO, "EchoTime": 15}, ""),
        ({"AcquisitionContrast": "T2_STAR", "SeriesDescription": "T1 FFE"}, "T2* gradient echo"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TOF", "NONE"]}, "angiography"),
        ({"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}, "a map of the diffusion coefficient (ADC)"),
        ({"ImageType": ["DERIVED", "PRIMARY", "MPR"], "SeriesDescription": "T1 MPR"}, ""),
        ({"ProtocolName": "BRAIN DWI MRA T1", "SeriesDescription": "AX 3D"}, ""),
        ({"ProtocolName": "BRAIN MRA", "SeriesDescription": "AX T1"}, ""),
        ({"ProtocolName": "ep2d_diff", "SeriesDescription": "Reg"}, "diffusion"),
    ],
)
def test_what_the_standard_and_the_makers_write(tags, wanted):
    assert of(**tags) == wanted


def test_a_slice_has_one_note_and_a_caution(tmp_path):
    diffusion = find_slice(save(tmp_path / "a.dcm", HEAD, SeriesDescription="DWI", DiffusionBValue=1000.0))
    assert diffusion.note == contrast_note("diffusion (b = 1000)")
    assert cautions_of(diffusion.acquisition) == [Caution.OTHER_CONTRAST]
    computed = find_slice(
        save(tmp_path / "b.dcm", HEAD, ImageType=["DERIVED", "PRIMARY", "ADC"], SeriesDescription="ADC")
    )
    assert computed.note == "its header says that it is a map of the diffusion coefficient (ADC)"
    cut = find_slice(
        save(tmp_path / "c.dcm", HEAD, ImageType=["DERIVED", "PRIMARY", "MPR"], SeriesDescription="TOF MPR")
    )
    assert cut.note == f"its header says that it is reformatted from another plane; {contrast_note('angiography')}"
    plain = find_slice(save(tmp_path / "d.dcm", HEAD, SeriesDescription="t1 post", ScanningSequence="se", EchoTime=9))
    assert plain.note == "" and not cautions_of(plain.acquisition)


def test_each_frame_is_judged_by_its_own_echo(tmp_path):
    echoes = (15.0, 95.0)
    frames = [
        frame_header(
            MREchoSequence={"EffectiveEchoTime": echo},
            MRTimingAndRelatedParametersSequence={"RepetitionTime": 3000.0},
            MRModifierSequence={"InversionRecovery": "NO"},
            MRImageFrameTypeSequence={
                "FrameType": ["ORIGINAL", "PRIMARY", "M", "NONE"],
                "AcquisitionContrast": "UNKNOWN",
            },
        )
        for echo in echoes
    ]
    tags = {"SOPClassUID": EnhancedMRImageStorage, "EchoPulseSequence": "SPIN", "EchoPlanarPulseSequence": "NO"}
    path = save(
        tmp_path / "a.dcm",
        np.stack([HEAD] * 2),
        NumberOfFrames=2,
        PerFrameFunctionalGroupsSequence=Sequence(frames),
        **tags,
    )
    assert sorted(piece.note for piece in slices_of([path])) == ["", contrast_note("proton density, by its times")]


def test_it_stands_once_in_the_row_of_the_slice_and_of_the_volume(tmp_path):
    for number in range(5):
        pixels = draw(5, tumor=True, size=160).pixels
        save(tmp_path / f"s/{number}.dcm", pixels, number=number, place=5.0 * number, SeriesDescription="DWI b1000")
    tables = {"csv": tmp_path / "slices.csv", "volumes": tmp_path / "volumes.csv"}
    found = predict_files(tmp_path / "s", threads=1, **tables)
    assert found.volumes[0].note == contrast_note("diffusion")
    for path in tables.values():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows and all(row["detail"].count(contrast_note("diffusion")) == 1 for row in rows)
        assert {row["decision"] for row in rows} == {"tumor"}  # the decision stays


def test_a_data_set_in_memory_has_the_notes_of_its_header():
    predictor = Predictor(threads=1)
    assert contrast_note("angiography") in predictor.score(dataset(HEAD, SeriesDescription="TOF")).note
    assert "phase image" in predictor.score(dataset(HEAD, ImageType=["ORIGINAL", "PRIMARY", "P"])).note
    assert predictor.score(dataset(HEAD, SeriesDescription="t1")).note == ""


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sub-01_ses-02_dwi.nii.gz", "diffusion"),
        ("sub-01_PDw.nii", "proton density"),
        ("sub-01_part-mag_T2starw.nii.gz", "T2* gradient echo"),
        ("sub-01_task-rest_bold.nii.gz", "functional imaging (BOLD)"),
        ("sub-01_swi.nii.gz", "susceptibility imaging"),
        ("sub-01_angio.mha", "angiography"),
        ("sub-01_T1map.mgz", "a computed map"),
        ("sub-01_T1w.nii.gz", ""),
        ("sub-01_ce-gadolinium_T1w.nii.gz", ""),
        ("sub-01_T2w.nii.gz", ""),
        ("sub-01_FLAIR.nii.gz", ""),
        ("dwi/scan.nii.gz", ""),
        ("swimmer.nii.gz", ""),
    ],
)
def test_the_suffix_of_bids_says_it(name, wanted):
    assert contrast_of_name(name) == (f"{wanted}, by its name" if wanted else "")


def test_a_nifti_file_with_such_a_name_has_the_note(tmp_path):
    nibabel.Nifti1Image(np.stack([HEAD] * 3, axis=-1).astype(np.int16), np.eye(4)).to_filename(tmp_path / "x_dwi.nii")
    shutil.copy(tmp_path / "x_dwi.nii", tmp_path / "x_T1w.nii")
    assert {piece.note for piece in slices_of([tmp_path / "x_dwi.nii"])} == {contrast_note("diffusion, by its name")}
    assert {piece.note for piece in slices_of([tmp_path / "x_T1w.nii"])} == {""}
