"""The DICOM service against DCMTK: what is taken in, what is refused and with which words, and what is on the disk."""

import json
import shutil
import socket
import subprocess
import time

import pydicom
import pytest
from pydicom.uid import MPEG2MPML

from brainsift.core.errors import RefusedObjectError
from brainsift.node.intake import Intake
from brainsift.node.receiver import Receiver
from brainsift.node.settings import Dicom, Tls

from .conftest import program, run, send, until, write_series

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("network")]


@pytest.fixture
def receiving(tmp_path):
    """Starts the service: ``receiver, intake = receiving(callers=("ME",))``."""
    started = []

    def start(reserve_mb=0, **settings):
        intake = Intake(tmp_path / "node", reserve_mb=reserve_mb)
        started.append(Receiver(Dicom(**{"port": 0, **settings}), intake))
        return started[-1], intake

    yield start
    for receiver in started:
        receiver.stop()


def received(intake):
    return [
        pydicom.dcmread(intake.folder / "series" / series.name / one.file)
        for series in intake.journal.series()
        for one in intake.journal.instances(series.id)
        if one.file
    ]


def test_what_is_sent_is_what_is_kept(receiving, tmp_path):
    receiver, intake = receiving()
    files = write_series(tmp_path / "in")
    send(receiver.port, *files)
    sent = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, files)}
    assert {one.SOPInstanceUID: one for one in received(intake)} == sent
    assert not list((intake.folder / "incoming").iterdir())
    assert run("echoscu", "-aec", "BRAINSIFT", "127.0.0.1", receiver.port).returncode == 0


@pytest.mark.parametrize(
    "options",
    [("--raw", "--implicit"), ("--jpegls",), ("--j2k",), ("--rle",), ("--jpeg",)],
    ids=["implicit", "jpeg-ls", "j2k", "rle", "jpeg-lossless"],
)
def test_every_syntax_that_can_be_decoded_is_taken_in(receiving, tmp_path, options):
    receiver, intake = receiving()
    (file,) = write_series(tmp_path / "in", count=1)
    run("gdcmconv", *options, file, tmp_path / "packed.dcm")
    send(receiver.port, tmp_path / "packed.dcm", options=("-dn",))
    (found,) = received(intake)
    assert found.file_meta.TransferSyntaxUID == pydicom.dcmread(tmp_path / "packed.dcm").file_meta.TransferSyntaxUID
    assert (found.pixel_array == pydicom.dcmread(file).pixel_array).all()


def test_a_syntax_that_cannot_be_decoded_is_not_negotiated(receiving, tmp_path):
    from pynetdicom import AE

    receiver, _ = receiving()
    caller = AE()
    caller.add_requested_context("1.2.840.10008.5.1.4.1.1.4", MPEG2MPML)
    caller.add_requested_context("1.2.840.10008.1.1")
    association = caller.associate("127.0.0.1", receiver.port, ae_title="BRAINSIFT")
    assert [one.abstract_syntax for one in association.rejected_contexts] == ["1.2.840.10008.5.1.4.1.1.4"]
    association.release()


def test_other_objects_than_mr_are_not_taken_in(receiving, tmp_path):
    receiver, intake = receiving()
    (file,) = write_series(tmp_path / "in", count=1, SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT")
    done = run("storescu", "-aec", "BRAINSIFT", "127.0.0.1", receiver.port, file, check=False)
    assert "No presentation context" in done.stdout + done.stderr
    assert received(intake) == []


@pytest.mark.parametrize(("caller", "called"), [("ME", "OTHER"), ("STRANGER", "BRAINSIFT")])
def test_other_titles_are_rejected(receiving, tmp_path, caller, called):
    receiver, intake = receiving(callers=("ME",))
    files = write_series(tmp_path / "in", count=1)
    done = run("storescu", "-aet", caller, "-aec", called, "127.0.0.1", receiver.port, *files, check=False)
    assert "AE Title Not Recognized" in done.stdout + done.stderr
    send(receiver.port, *files, caller="ME")
    assert len(received(intake)) == 1


def test_only_the_named_addresses_may_connect(receiving, tmp_path):
    receiver, intake = receiving(addresses=("10.0.0.0/8",))
    assert send(receiver.port, *write_series(tmp_path / "in", count=1), check=False).returncode != 0
    assert received(intake) == []


def test_too_many_associations_are_rejected_for_now(receiving):
    from pynetdicom import AE

    receiver, _ = receiving(associations=1)
    caller = AE()
    caller.add_requested_context("1.2.840.10008.1.1")
    first = caller.associate("127.0.0.1", receiver.port, ae_title="BRAINSIFT")
    second = caller.associate("127.0.0.1", receiver.port, ae_title="BRAINSIFT")
    assert first.is_established
    assert second.is_rejected
    assert second.acceptor.primitive.result == 2  # rejected, transient
    first.release()


def test_below_the_reserve_of_the_disk_nothing_is_taken_in(receiving, tmp_path):
    free_mb = shutil.disk_usage(tmp_path).free // 2**20
    receiver, intake = receiving(reserve_mb=free_mb + 10_000)
    files = write_series(tmp_path / "in", count=1)
    done = run("storescu", "-v", "-aec", "BRAINSIFT", "127.0.0.1", receiver.port, *files, check=False)
    assert "Refused: OutOfResources" in done.stdout + done.stderr
    assert received(intake) == []


def test_an_identifier_other_than_announced_is_refused(receiving, tmp_path):
    from pynetdicom import AE

    receiver, intake = receiving()
    (file,) = write_series(tmp_path / "in", count=1)
    made = pydicom.dcmread(file)
    made.StudyInstanceUID = ""
    caller = AE()
    caller.add_requested_context(made.SOPClassUID, made.file_meta.TransferSyntaxUID)
    association = caller.associate("127.0.0.1", receiver.port, ae_title="BRAINSIFT")
    assert association.send_c_store(made).Status == 0xA900
    association.release()
    assert received(intake) == []


def test_a_resend_changes_nothing_and_a_corrected_image_replaces_the_old(receiving, tmp_path):
    receiver, intake = receiving()
    files = write_series(tmp_path / "in", count=2)
    send(receiver.port, *files)
    (series,) = intake.journal.series()
    before = intake.journal.instances(series.id)
    run("gdcmconv", "--raw", "--implicit", files[0], tmp_path / "implicit.dcm")  # the same in other bytes
    send(receiver.port, *files, tmp_path / "implicit.dcm")
    assert [one.fingerprint for one in intake.journal.instances(series.id)] == [one.fingerprint for one in before]
    changed = pydicom.dcmread(files[0])
    changed.PixelData = bytes(len(changed.PixelData))
    changed.save_as(files[0])
    send(receiver.port, files[0])
    assert sum(now != then for now, then in zip(intake.journal.instances(series.id), before, strict=True)) == 1
    intake.sweep()
    assert len(list((intake.folder / "series").rglob("*.dcm"))) == 2
    assert not received(intake)[0].pixel_array.any() or not received(intake)[1].pixel_array.any()


def test_a_sender_that_vanishes_leaves_whole_files_only(receiving, tmp_path):
    receiver, intake = receiving()
    files = write_series(tmp_path / "in", count=40, side=256)
    sender = subprocess.Popen(
        [program("dcmsend"), "-aec", "BRAINSIFT", "127.0.0.1", str(receiver.port), *map(str, files)]
    )
    until(lambda: len(received(intake)) > 3)
    sender.kill()
    sender.wait()
    until(lambda: not receiver.sending())
    until(lambda: not list((intake.folder / "incoming").iterdir()))  # the last one is stored after the connection ended
    assert all(one.pixel_array.shape == (256, 256) for one in received(intake))
    send(receiver.port, *files)
    assert len(received(intake)) == 40


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and a certificate that it signed, for both sides."""
    folder = tmp_path_factory.mktemp("tls")
    words = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    run("openssl", "req", "-x509", *words, "-subj", "/CN=ca", "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    run("openssl", "req", *words, "-subj", "/CN=one", "-keyout", folder / "one.key", "-out", folder / "one.csr")
    signing = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", "2")
    run("openssl", "x509", "-req", "-in", folder / "one.csr", *signing, "-out", folder / "one.pem")
    return Tls(folder / "one.pem", folder / "one.key", folder / "ca.pem")


def test_with_tls_a_caller_needs_a_certificate(receiving, certificates, tmp_path):
    receiver, intake = receiving(tls=certificates)
    (file,) = write_series(tmp_path / "in", count=1)
    words = ("-aec", "BRAINSIFT", "127.0.0.1", receiver.port, file)
    anonymous = run("storescu", "+tla", "+cf", certificates.authority, *words, check=False)
    plain = run("storescu", *words, check=False)
    assert anonymous.returncode != 0
    assert plain.returncode != 0
    assert received(intake) == []
    known = ("+tls", certificates.key, certificates.certificate, "+cf", certificates.authority)
    run("storescu", *known, *words)
    assert len(received(intake)) == 1


def test_a_caller_that_says_nothing_does_not_keep_others_out_for_long(receiving, certificates, tmp_path, monkeypatch):
    monkeypatch.setattr("brainsift.node.receiver._HANDSHAKE_S", 2.0)
    receiver, intake = receiving(tls=certificates)
    (file,) = write_series(tmp_path / "in", count=1)
    with socket.create_connection(("127.0.0.1", receiver.port)):
        time.sleep(0.1)
        known = ("+tls", certificates.key, certificates.certificate, "+cf", certificates.authority)
        run("storescu", *known, "-aec", "BRAINSIFT", "127.0.0.1", receiver.port, file)
    assert len(received(intake)) == 1


def test_what_a_killed_process_left_is_removed_at_the_start(tmp_path):
    (file,) = write_series(tmp_path / "in", count=1)
    intake = Intake(tmp_path / "node", reserve_mb=0)
    name = intake.take(file.read_bytes(), door="test").series
    (intake.folder / "incoming" / "x.part").write_bytes(b"half")
    (intake.folder / "series" / name / "unknown.dcm").write_bytes(file.read_bytes())
    intake.sweep()
    left = [path.relative_to(intake.folder).parts[0] for path in intake.folder.rglob("*") if path.is_file()]
    assert left.count("series") == 1
    assert left.count("incoming") == 0


def test_names_on_the_disk_and_in_the_journal_say_nothing_of_the_patient(receiving, tmp_path):
    from .conftest import PATIENT

    receiver, intake = receiving()
    send(receiver.port, *write_series(tmp_path / "in", count=2))
    names = json.dumps([str(path.relative_to(tmp_path)) for path in intake.folder.rglob("*")])
    journal = b"".join(path.read_bytes() for path in intake.folder.glob("journal*"))
    for value in PATIENT.values():
        assert value not in names
        assert value.encode() not in journal


def test_other_doors_refuse_what_the_dicom_service_does_not_negotiate(tmp_path):
    intake = Intake(tmp_path / "node", reserve_mb=0)
    (file,) = write_series(tmp_path / "in", count=1)
    video = pydicom.dcmread(file)
    video.PixelData = pydicom.encaps.encapsulate([b"\0\0\1\xb3"])
    video["PixelData"].VR = "OB"
    video.file_meta.TransferSyntaxUID = MPEG2MPML
    video.save_as(tmp_path / "packed.dcm", enforce_file_format=True)
    (other,) = write_series(tmp_path / "ct", count=1, SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    for path in (tmp_path / "packed.dcm", other):
        with pytest.raises(RefusedObjectError) as caught:
            intake.take(path.read_bytes(), door="test")
        assert caught.value.status == 0x0122
    with pytest.raises(RefusedObjectError, match="cannot be read"):
        intake.take(b"nothing", door="test")
    assert not list((intake.folder / "series").iterdir())
