"""A network of loopback alone for the tests of the node, drawn DICOM series, and the servers of others in it."""

import ctypes
import fcntl
import importlib.util
import io
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from brainsift.images.phantom import draw
from brainsift.node.journal import Journal
from brainsift.node.settings import read_settings

TOOLS = ("Orthanc", "storescu", "dcmsend", "dcmqrscp", "dcmodify", "gdcmconv", "openssl")
ROOT = Path(__file__).parents[2]
PATIENT = {
    "PatientName": "Zwetschgenbaum^Aurelia Quendoline",
    "PatientID": "ZQ-77120934",
    "PatientBirthDate": "19470319",
    "AccessionNumber": "ACC-5501-XK",
    "StudyID": "STUDYID-8841",
    "ReferringPhysicianName": "Hohenfels^Ottokar",
    "InstitutionName": "Klinikum Wolkenstein",
    "StudyDescription": "Schaedel nativ Zwetschgenbaum",
    "PatientComments": "Aurelia fears needles",
}
"""Strings that must stand in no log, metric, name or error."""
_PATH = "/usr/bin:/usr/sbin:/usr/local/bin"  # pynetdicom brings programs with the names of DCMTK's
_CLONE_NEWNET = 0x40000000
_PORTS = itertools.count(20_000)  # below those that the system gives to connections


@pytest.fixture(scope="session")
def network():
    """The tests run in a network namespace of their own: nothing they start can be reached, or reaches others."""
    for package in ("pynetdicom", "highdicom"):
        try:
            __import__(package)
        except ImportError:
            pytest.skip(f"needs dicom: {package} is not installed")
    if missing := [tool for tool in TOOLS if program(tool) is None]:
        pytest.skip(f"needs pacs: {', '.join(missing)} not installed")
    try:
        with loopback_only():
            yield
    except PermissionError as error:
        pytest.skip(f"needs pacs: no network namespace: {error}")


@contextmanager
def loopback_only():
    """Runs a block, and the threads and programs that it starts, in a network with this machine alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as before:
        if libc.unshare(_CLONE_NEWNET):
            raise PermissionError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # what `ip link set lo up` does
                fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
            yield
        finally:
            libc.setns(before.fileno(), _CLONE_NEWNET)


def program(name):
    return shutil.which(name, path=_PATH)


def until(condition, *, seconds=300.0, every=0.05):
    """Waits until a condition holds, and returns its value; the limit is for what never happens."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(every)
    return found


def free_port():
    """Returns a port for a server that starts later: no connection, and no other call, gets it in the meantime."""
    for port in _PORTS:
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def run(*words, check=True, **options):
    """Runs a program of DCMTK or another; its output is in the failure of a test."""
    done = subprocess.run(
        [program(words[0]), *map(str, words[1:])], capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="session")
def bench():
    """The module of `bench/node.py`."""
    spec = importlib.util.spec_from_file_location("bench_node", ROOT / "bench/node.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_series(folder, *, count=6, seed=1, side=96, start=0, study=None, series=None, patient=None, **tags):
    """Writes a drawn head as a series of MR images; returns its files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    study = study or generate_uid(entropy_srcs=["study", str(seed)])
    series = series or generate_uid(entropy_srcs=["series", str(seed)])
    head = draw(seed, tumor=True, size=side).pixels.astype(np.uint16) * 4
    paths = []
    for index in range(start, start + count):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        values = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
            "SOPInstanceUID": generate_uid(entropy_srcs=[series, str(index)]),
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "FrameOfReferenceUID": generate_uid(entropy_srcs=["frame", series]),
            "Modality": "MR",
            "Manufacturer": "Drawn",
            "ManufacturerModelName": "Phantom",
            "DeviceSerialNumber": "1",
            "SoftwareVersions": "1",
            "ImageType": ["ORIGINAL", "PRIMARY", "M", "SE"],
            "ScanningSequence": "SE",
            "SequenceVariant": "NONE",
            "ScanOptions": "",
            "MRAcquisitionType": "2D",
            "EchoTime": "90",
            "RepetitionTime": "4000",
            "EchoTrainLength": "1",
            "BodyPartExamined": "HEAD",
            "PatientSex": "F",
            "StudyDate": "20240503",
            "StudyTime": "101500",
            "SeriesNumber": "3",
            "SeriesDescription": "t2 axial",
            "InstanceNumber": str(index + 1),
            "PatientPosition": "HFS",
            "PositionReferenceIndicator": "",
            "ImagePositionPatient": ["-110", "-110", str(5 * index)],
            "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
            "PixelSpacing": ["2.3", "2.3"],
            "SliceThickness": "5",
            "Rows": side,
            "Columns": side,
            "BitsAllocated": 16,
            "BitsStored": 12,
            "HighBit": 11,
            "PixelRepresentation": 0,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            **(PATIENT if patient is None else patient),
            **tags,
        }
        for name, value in values.items():
            setattr(made, name, value)
        made.PixelData = (head + index).tobytes()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
        paths.append(folder / f"{index:04d}.dcm")
        made.save_as(paths[-1], enforce_file_format=True)
    return paths


def send(port, *files, caller="STORESCU", called="BRAINSIFT", check=True, options=()):
    """Sends files by DCMTK's dcmsend, which negotiates what they need."""
    return run("dcmsend", "-aet", caller, "-aec", called, *options, "127.0.0.1", port, *files, check=check)


@contextmanager
def orthanc(folder, node_port, *, called="BRAINSIFT", port=None, web_port=None, **more):
    """Runs an Orthanc that knows the node; yields its ports and its REST interface."""
    folder.mkdir(parents=True, exist_ok=True)
    port, web_port = port or free_port(), web_port or free_port()
    plugins = "/usr/share/orthanc/plugins"
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [f"{plugins}/libOrthancDicomWeb.so", f"{plugins}/libOrthancGdcm.so"],
        "HttpPort": web_port,
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "OverwriteInstances": False,
        "StableAge": 1,
        "DicomScpTimeout": 10,
        "DicomModalities": {
            "brainsift": {"AET": called, "Host": "127.0.0.1", "Port": node_port, "AllowStorageCommitment": True},
            "sender": {"AET": "STORESCU", "Host": "127.0.0.1", "Port": 1},
        },
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **more,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log, process(program("Orthanc"), folder / "orthanc.json", stderr=log) as running:
        until(lambda: listens(web_port) and listens(port))
        yield SimpleNamespace(
            port=port, web_port=web_port, process=running, folder=folder, get=partial(_rest, web_port)
        )


def _rest(port, path, body=None):
    """Asks Orthanc's REST interface: GET, or POST with a body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
    with urllib.request.urlopen(request, timeout=60) as reply:
        content = reply.read()
    return content if path.endswith("/file") else json.loads(content)


def instances(archive):
    """Returns the data sets that an Orthanc has, by their SOPInstanceUID."""
    found = {}
    for name in archive.get("/instances"):
        content = archive.get(f"/instances/{name}/file")
        one = pydicom.dcmread(io.BytesIO(content))
        found[one.SOPInstanceUID] = one
    return found


def results(archive):
    """Returns the results that an Orthanc has: what is not of the scanner."""
    return [one for one in instances(archive).values() if one.Modality != "MR"]


def node_settings(folder, *, port, web_port=0, text="", target=None, quiet_s=1.0, node=None, keep=""):
    """Writes the settings of a node; returns the path of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    where = ""
    if target:
        where = f'[[targets]]\nname = "archive"\nae_title = "ORTHANC"\nport = {target}\n'
    (folder / "node.toml").write_text(
        f'folder = "{node or folder / "node"}"\n[dicom]\nport = {port}\n[web]\nport = {web_port}\nstore = true\n'
        f"[series]\nquiet_s = {quiet_s}\n[network]\nthreads = 1\n[keep]\nreserve_mb = 1\n{keep}{where}{text}"
    )
    return folder / "node.toml"


@contextmanager
def running_node(config, *, environment=None):
    """Runs `brainsift node`; its log is beside the settings."""
    log = config.parent / "log.txt"
    log.touch()
    before = log.read_text().count("node started")
    with (
        log.open("a") as stream,
        process(
            sys.executable, "-m", "brainsift", "node", config, stdout=stream, stderr=stream, env=environment
        ) as running,
    ):
        until(lambda: running.poll() is not None or log.read_text().count("node started") > before)
        assert running.poll() is None, log.read_text()
        yield running


def journal_of(config):
    """Opens the journal of a node that runs, or ran."""
    return Journal(read_settings(config).folder)


@contextmanager
def process(*words, **options):
    """Runs a server as long as the block."""
    running = subprocess.Popen([*map(str, words)], **options)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
