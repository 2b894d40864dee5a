"""What libraries warn of stands in the note of the row, in the right one, and on no screen."""

import logging
import subprocess
import sys
import threading
import warnings

import pytest

from brainsift.core.warned import collected_warnings


def test_each_thread_collects_its_own(capsys):
    found, both = {}, threading.Barrier(2)

    def read(name):
        for round_ in range(50):
            with collected_warnings() as words:
                both.wait()
                warnings.warn(f"{name} {round_}", UserWarning, stacklevel=1)
                logging.getLogger("nibabel.global").warning("of %s", name)
                both.wait()
            found.setdefault(name, []).append(words)

    threads = [threading.Thread(target=read, args=(name,)) for name in "ab"]
    [one.start() for one in threads]
    [one.join() for one in threads]
    for name in "ab":
        assert found[name] == [[f"{name} {round_}", f"of {name}"] for round_ in range(50)]
    assert capsys.readouterr().err == ""


def test_what_nobody_collects_is_shown_as_ever():
    with collected_warnings():
        pass
    with pytest.warns(UserWarning, match="nobody"):
        warnings.warn("nobody collects this", stacklevel=1)
    with pytest.warns(RuntimeWarning, match="arithmetic"), collected_warnings() as words:
        warnings.warn("arithmetic", RuntimeWarning, stacklevel=1)
    assert words == []


def test_arithmetic_of_a_library_that_reads_files_is_collected(capsys):
    with collected_warnings() as words:
        warnings.warn_explicit("overflow in cast", RuntimeWarning, "lib/nibabel/arrayproxy.py", 1)
    assert words == ["overflow in cast"] and capsys.readouterr().err == ""


def test_it_collects_also_where_others_have_changed_the_filters():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with collected_warnings() as words:
            warnings.warn("one", stacklevel=1)
        with pytest.raises(UserWarning, match="another"):
            warnings.warn("another", stacklevel=1)
    assert words == ["one"]
    with collected_warnings() as words:
        warnings.warn("again", stacklevel=1)
    assert words == ["again"]


def test_values_are_left_out_and_many_warnings_are_counted():
    with collected_warnings() as words:
        for number in range(5):
            warnings.warn(f"Value {number}: 'Mül\nler^Anna' of \x1b[31m \"x\"", stacklevel=1)
        warnings.warn("long " * 100, stacklevel=1)
    assert words[0] == "Value 0: (…) of [31m (…)" and words[-1] == "4 more warnings" and len(words) == 3


def test_blocks_may_lie_in_each_other():
    with collected_warnings() as outer:
        warnings.warn("before", stacklevel=1)
        with collected_warnings() as inner:
            warnings.warn("inside", stacklevel=1)
        warnings.warn("behind", stacklevel=1)
    assert (inner, outer) == (["inside"], ["before", "behind"])


@pytest.mark.slow
def test_the_command_prints_rows_and_no_warnings(tmp_path):
    code = f"""
import numpy as np, nibabel, pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from brainsift.cli.main import main
from brainsift.images.phantom import draw
head = draw(5, tumor=True, size=64).pixels
made = FileDataset("", {{}}, file_meta=FileMetaDataset(), preamble=b"\\0" * 128)
made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
made.Modality, made.Rows, made.Columns = "MR", 64, 64
made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
made.PixelData, made.BodyPartExamined, made.PatientName = head.tobytes(), "BRAIN", "Secret^Name"
made.SpecificCharacterSet, made.SeriesDescription = "ISO_IR 100", "T1"
made.save_as(r"{tmp_path}/a.dcm", enforce_file_format=False)
content = open(r"{tmp_path}/a.dcm", "rb").read()
open(r"{tmp_path}/a.dcm", "wb").write(content.replace(b"ISO_IR 100", b"ISO_IR 999"))
image = nibabel.Nifti1Image(np.stack([head] * 3, axis=2), np.diag([1, 1, 5, 1]))
raw = bytearray(image.to_bytes())
raw[80:84] = np.float32(-1).tobytes()  # pixdim
open(r"{tmp_path}/b.nii", "wb").write(raw)
main(["predict", r"{tmp_path}"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = {line.split("\t")[0].rpartition("/")[2]: line for line in done.stdout.splitlines()}
    assert "Warning" not in done.stderr and "pixdim" not in done.stderr and "Secret" not in done.stdout + done.stderr
    assert "pixdim[1,2,3] should be positive" in rows["b.nii#1"]
    assert "Unknown encoding (…)" in rows["a.dcm"] and "999" not in rows["a.dcm"]
