"""Bodies to files: names never become paths, every limit holds, archives cannot harm, nothing is left behind."""

import asyncio
import errno
import os
import signal
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from brainsift.core.errors import BusyError, InputError, MediaTypeError, UnreadableImageError, UploadError, UsageError
from brainsift.serve.config import ServeConfig
from brainsift.serve.scoring.uploads import Store, names_of, receive, shown_name

from .bodies import BOUNDARY, HEAD, archive, dicom_of_series, multipart, picture


async def pieces(body, size):
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.fixture
def store(tmp_path):
    made = Store(ServeConfig(files=5, upload_mb=1, unpacked_mb=40, store_mb=60), tmp_path)
    yield made
    assert not any(made.folder.iterdir()) and made.used == 0  # whatever was sent


def sent(store, body, kind=f"multipart/form-data; boundary={BOUNDARY}", *, size=4096, **headers):
    headers = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return asyncio.run(receive(store, headers, pieces(body, size)))


def unpacked(store, body):
    """Names and contents of what an archive gives."""
    upload = sent(store, body, "application/zip", x_filename="a.zip")
    try:
        upload.unpack()
        assert store.used == sum(one.path.stat().st_size for one in upload.files)
        return [(one.name, one.path.read_bytes()) for one in upload.files]
    finally:
        upload.close()


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_parts_are_written_as_they_come(store, size):
    contents = [b"", b"\r\n--xy", bytes(range(256)) * 40]
    files = [(field, f"{n}.png", contents[n]) for n, field in enumerate(("files", "file", "image[]"))]
    upload = sent(store, multipart(files), size=size)  # the name of the field does not matter
    assert [(one.name, one.path.read_bytes()) for one in upload.files] == [file[1:] for file in files]
    assert store.used == sum(map(len, contents))
    upload.close()


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "C:\\x\\passwd", "a/../passwd", "pass\x00wd", "\u202epasswd", "passwd/"]
)
def test_names_never_become_paths(store, name):
    upload = sent(store, picture(), "image/png", x_filename=name)
    assert [one.name for one in upload.files] == ["passwd"]
    assert {one.path.parent for one in upload.files} == {store.folder}
    assert [one.path.name for one in upload.files] == ["1-000000"]
    upload.close()
    if "\x00" not in name:  # zipfile itself ends the name there
        assert [one for one, _ in unpacked(store, archive([(name.rstrip("/") + ".png", b"x")]))] == ["passwd.png"]


def test_odd_names_stay_names():
    assert [shown_name(name) for name in ("", ".", "..", "/", "\x07", " ")] == ["image"] * 6
    assert len(shown_name("é" * 999)) == 200


def test_limits_of_uploads(store):
    with pytest.raises(UploadError, match="more than 5"):
        sent(store, multipart([("files", "a", b"x")] * 6))
    with pytest.raises(UploadError, match="larger than 1048576 bytes"):
        sent(store, bytes(2**20 + 1), "image/png")
    with pytest.raises(UploadError, match="larger"):
        sent(store, b"", "image/png", content_length=str(2**20 + 1))
    with pytest.raises(MediaTypeError, match="Content-Type"):
        sent(store, b"x", "text/html")
    for body in (b"", multipart([])):
        with pytest.raises(UsageError):
            sent(store, body)
    with pytest.raises(UsageError):
        sent(store, b"", "image/png")


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("form-data; name=\"f\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.png", "naïve €.png"),
        ('form-data; name="f"; filename="plain.png"; filename*=UTF-8\'\'n%C3%A4.png', "nä.png"),
        ('form-data; name="f"; filename*=iso-8859-1\'en\'%A3.png; filename="plain.png"', "£.png"),
        ('form-data; name="f"; filename="a; filename*=UTF-8\'\'b.png"', "a; filename*=UTF-8''b.png"),
        ('form-data; name="f"; filename="nä.png"'.encode().decode("latin-1"), "nä.png"),
        ("form-data; name=\"f\"; filename*=no-such-charset''b.png", None),
        ('form-data; name="f"; filename=""', ""),
        ('form-data; name="f"', None),
    ],
)
def test_encoded_names_are_read(store, disposition, name):
    assert names_of(disposition) == ("f", name)
    part = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode("latin-1")
    if name is None:
        with pytest.raises(UsageError, match="f: is a form field without a file name"):
            sent(store, part)
        return
    upload = sent(store, part)
    assert [one.name for one in upload.files] == [name or "image"]
    upload.close()
    upload = sent(store, b"x", "image/png", content_disposition=disposition)
    assert [one.name for one in upload.files] == [name or "image"]
    upload.close()


def test_options_sent_as_form_fields_are_refused_not_ignored(store):
    body = multipart([("files", "a.png", b"x")])
    option = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="threshold"\r\n\r\nscreening\r\n'.encode()
    with pytest.raises(UsageError, match=r"threshold: .*\?threshold=screening"):
        sent(store, option + body)


@pytest.mark.parametrize(
    "body",
    [b"no multipart", multipart([("files", "a.png", b"x")], end=""), multipart([("files", "a.png", b"x")])[:60]],
)
def test_broken_multipart_is_refused(store, body):
    with pytest.raises(UsageError, match="body"):
        sent(store, body)
    with pytest.raises(UsageError):
        sent(store, body, "multipart/form-data")


def test_a_client_that_vanishes_leaves_nothing(store):
    async def vanishing():
        yield picture()[:100]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(receive(store, {"content-type": "image/png"}, vanishing()))


def test_a_full_store_refuses_and_frees(store):
    kept = sent(store, bytes(2**20), "image/png")
    store.take(59 * 2**20)
    with pytest.raises(BusyError, match="store"):
        sent(store, multipart([("files", "a", bytes(2**19))]))
    store.give_back(59 * 2**20)
    kept.close()
    kept.close()


def test_archives_are_opened_in_place(store):
    members = [
        ("b/2.png", b"2"), ("b/1.png", b"1"), ("a/9.jpg", b"9"), ("notes.txt", b"t"), ("__MACOSX/a.png", b"m"),
        (".hidden/a.png", b"h"), ("empty/", b""), ("DICOMDIR", b"d"), ("inner.zip", archive([("x.png", b"x")])),
    ]  # fmt: skip
    found = unpacked(store, archive(members))
    assert [name for name, _ in found] == ["inner.zip", "9.jpg", "1.png", "2.png"]
    assert dict(found)["1.png"] == b"1"


def test_the_content_of_a_member_decides_whatever_its_name_ends_in(store):
    dicom, nrrd = bytes(128) + b"DICM" + bytes(60), b"NRRD0004\n" + bytes(60)
    names = ("a.dicom", "b.DIC", "c.MR", "d.1234", "f.dat")
    members = [(name, nrrd if name == "f.dat" else dicom) for name in names]
    members += [("viewer/run.exe", b"MZ" + bytes(9000)), ("read me.txt", b"words"), ("DICOMDIR", dicom)]
    upload = sent(store, archive(members), "application/zip", x_filename="a.zip")
    upload.unpack()
    assert [one.name for one in upload.files] == sorted(names)
    assert (upload.skipped.count, upload.skipped.names) == (2, ["run.exe", "read me.txt"])
    upload.close()


def test_dicom_without_a_suffix_is_known_by_its_content(store):
    dicom = bytes(128) + b"DICM" + bytes(60)
    members = [("IM0001", dicom), ("1.2.840.3", dicom), ("README", b"words"), ("LICENSE", b"DICM")]
    assert [name for name, _ in unpacked(store, archive(members))] == ["1.2.840.3", "IM0001"]


def test_a_series_in_an_archive_is_one_volume(store):
    tags = {"SeriesDescription": "Doe John", "SeriesNumber": 4, "PatientName": "Doe^John"}
    members = [(f"s/IM{number}", dicom_of_series(number, **tags)) for number in (1, 2, 3)]
    upload = sent(store, archive(members), "application/zip")
    upload.unpack()
    shown = [piece for _, piece in upload.slices()]
    assert [(piece.name, piece.volume) for piece in shown] == [(f"IM{n}", "series 1") for n in (3, 2, 1)]
    assert all(piece.read().pixels.shape == HEAD.shape for piece in shown)
    upload.close()


def test_series_of_one_file_have_the_names_of_their_files(store):
    members = [(f"IM{number}", dicom_of_series(number, series=f"1.{number}")) for number in (1, 2)]
    upload = sent(store, archive(members), "application/zip")
    upload.unpack()
    assert [piece.volume for _, piece in upload.slices()] == ["IM1", "IM2"]
    upload.close()


def test_what_is_still_unpacked_when_an_upload_ends_is_not_counted(store):
    upload = sent(store, multipart([("files", "a.png", picture())]))
    with upload.file("b.png") as late:
        upload.write(late, b"in time")
        upload.close()
        with pytest.raises(UploadError, match="given up"):
            upload.write(late, b"too late")
    with pytest.raises(UploadError, match="given up"), upload.file("c.png"):
        pass
    upload.close()
    assert store.used == 0


def test_equal_names_are_told_apart(store):
    upload = sent(store, multipart([("files", "a.png", picture())] * 3))
    found = upload.slices()
    assert [piece.name for _, piece in found] == ["a.png", "a.png (2)", "a.png (3)"]
    assert [name for name, _ in found] == [str(one.path) for one in upload.files]
    upload.close()


def deep(name, size):
    return archive([(name, bytes(size))])


def lying(body, *, size):
    """An archive whose directory and local header say that the first member is small."""
    for mark, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        start = body.rindex(mark) + place
        body = body[:start] + struct.pack("<I", size) + body[start + 4 :]
    return body


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (deep("zeros.png", 39 * 2**20), UploadError),  # the ratio
        (archive([(f"{n}.png", np.random.default_rng(0).bytes(1000) * 14000) for n in range(3)]), UploadError),  # size
        (archive([(f"{n}.png", b"x") for n in range(6)]), UploadError),  # members
        (archive([(f"{n}.txt", b"x") for n in range(16)]), UploadError),
        (lying(deep("zeros.png", 39 * 2**20), size=10), (UploadError, UnreadableImageError)),
        (archive([("a.png", picture())])[:-30], UnreadableImageError),
        (archive([("a.png", picture())])[:40], UnreadableImageError),
        (archive([("a.png", picture() * 9)], method=zipfile.ZIP_LZMA), UnreadableImageError),
        (archive([("a.png", picture() * 9)], method=zipfile.ZIP_BZIP2), UnreadableImageError),
        (archive([]), InputError),
        (archive([("a.txt", b"x")]), InputError),
        (archive([("a", b"PK\x03\x04")]), InputError),
        (b"PK\x03\x04" + bytes(100), UnreadableImageError),
    ],
)
def test_hostile_archives_are_refused(store, body, error):
    with pytest.raises(error):
        unpacked(store, body)


def test_an_archive_whose_members_begin_before_it_is_broken(store):
    body = archive([("a.png", picture())])
    for place in (2**31, 2**32 - 1, 2 * len(body)):  # where the directory says that it stands
        end = body.rindex(b"PK\x05\x06")
        with pytest.raises(UnreadableImageError, match="broken ZIP"):
            unpacked(store, body[: end + 16] + struct.pack("<I", place) + body[end + 20 :])


def test_encrypted_broken_and_huge_directories_are_refused(store):
    body = bytearray(archive([("a.png", picture())]))
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        body[body.rindex(mark) + place] |= 1
    with pytest.raises(UnreadableImageError, match="encrypted"):
        unpacked(store, bytes(body))
    body = bytearray(archive([("a.png", picture())]))
    body[80] ^= 0xFF
    with pytest.raises(UnreadableImageError, match="broken"):
        unpacked(store, bytes(body))
    whole = archive([("a.png", picture())])
    end = whole.rindex(b"PK\x05\x06")
    with pytest.raises(UploadError, match="ZIP64"):
        unpacked(store, whole[:end] + b"PK\x06\x07" + bytes(16) + whole[end:])
    with pytest.raises(UploadError, match="members"):
        unpacked(store, whole[: end + 12] + struct.pack("<I", 2**30) + whole[end + 16 :])


def test_closing_the_store_removes_all(tmp_path):
    store = Store(ServeConfig(), tmp_path)
    sent(store, picture(), "image/png")
    assert store.folder.stat().st_mode & 0o077 == 0
    store.close()
    assert not any(tmp_path.iterdir())


def test_a_series_has_another_name_than_any_file(store):
    files = [("files", "series 1", dicom_of_series(1, series="1.1"))]
    files += [("files", f"IM{number}", dicom_of_series(number, series="1.2")) for number in (1, 2)]
    upload = sent(store, multipart(files))
    assert [piece.volume for _, piece in upload.slices()] == ["series 1", "series 2", "series 2"]
    upload.close()


@pytest.mark.skipif(os.name == "nt", reason="needs locks of POSIX")
def test_uploads_that_a_killed_server_left_are_removed_by_the_next_one(tmp_path):
    killed = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from brainsift.serve.config import ServeConfig\n"
        "from brainsift.serve.scoring.uploads import Store\n"
        "upload = Store(ServeConfig(), Path(sys.argv[1])).new()\n"
        "with upload.file('a.png') as file:\n"
        "    upload.write(file, b'x')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    assert done.returncode == -signal.SIGKILL and len(list(left.iterdir())) == 1
    first = Store(ServeConfig(), tmp_path)
    assert list(tmp_path.iterdir()) == [first.folder]
    second = Store(ServeConfig(), tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([first.folder, second.folder])  # the first one still runs
    first.close()
    second.close()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_taken_away_is_made_anew(store):
    store.folder.rmdir()
    upload = sent(store, picture(), "image/png")
    assert upload.files[0].path.read_bytes() == picture()
    upload.close()


def test_a_full_disk_is_said_as_a_full_store_is(store):
    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    upload = store.new()
    with pytest.raises(BusyError, match="No space left"):
        upload.write(Full(), b"x")
    upload.close()
    assert store.used == 0
