"""A node beside Orthanc: what comes in by each door, what is found there afterwards, and what never is."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pydicom
import pytest

from .conftest import (
    PATIENT,
    free_port,
    instances,
    journal_of,
    node_settings,
    orthanc,
    process,
    program,
    results,
    running_node,
    send,
    until,
    write_series,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("network")]
SR = "1.2.840.10008.5.1.4.1.1.88.34"


@pytest.fixture
def beside(tmp_path):
    """An Orthanc and the ports of a node that it knows."""
    port = free_port()
    with orthanc(tmp_path / "orthanc", port) as archive:
        archive.node_port = port
        yield archive


def states(config):
    return [one.state for one in journal_of(config).series()]


def ended(config, *, state="delivered", count=1):
    return until(lambda: states(config).count(state) >= count, every=0.3)


def test_a_series_that_orthanc_sends_comes_back_with_its_results_once(beside, tmp_path):
    config = node_settings(tmp_path / "n", port=beside.node_port, target=beside.port)
    files = write_series(tmp_path / "in")
    send(beside.port, *files, called="ORTHANC")
    with running_node(config):
        (series,) = beside.get("/series")
        beside.get("/modalities/brainsift/store", series.encode())
        ended(config)
        found = results(beside)
        assert sorted(one.Modality for one in found).count("SR") == 1
        source = pydicom.dcmread(files[0])
        for one in found:
            assert one.StudyInstanceUID == source.StudyInstanceUID
            assert (one.PatientID, one.PatientName) == (source.PatientID, source.PatientName)
            assert "PatientComments" not in one
        # The archive sends everything back, results as well: nothing new comes of it.
        before = instances(beside).keys()
        for name in beside.get("/series"):
            request = {"Resources": [name], "Permissive": True}
            beside.get("/modalities/brainsift/store", json.dumps(request).encode())
        time.sleep(4)
        assert states(config) == ["delivered"]
        assert instances(beside).keys() == before
        assert [one.number for one in journal_of(config).versions(1)] == [1]


def test_late_slices_make_a_second_version_that_names_the_first(beside, tmp_path):
    config = node_settings(tmp_path / "n", port=beside.node_port, target=beside.port)
    with running_node(config):
        send(beside.node_port, *write_series(tmp_path / "in"))
        ended(config)
        (first,) = [one for one in results(beside) if one.Modality == "SR"]
        send(beside.node_port, *write_series(tmp_path / "late", count=2, start=6))
        until(lambda: len(journal_of(config).versions(1)) == 2)
        ended(config)
        (second,) = [
            one for one in results(beside) if one.Modality == "SR" and one.SOPInstanceUID != first.SOPInstanceUID
        ]
        named = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        assert named.ReferencedSOPInstanceUID == first.SOPInstanceUID
        time.sleep(3)
        assert len(journal_of(config).versions(1)) == 2


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"BodyPartExamined": "KNEE"}, "other_body_part"),
        ({"Manufacturer": "brainsift", "ManufacturerModelName": "brainsift"}, "result of brainsift"),
    ],
)
def test_what_is_no_original_head_is_skipped_and_nothing_is_sent(beside, tmp_path, tags, reason):
    config = node_settings(tmp_path / "n", port=beside.node_port, target=beside.port)
    with running_node(config):
        send(beside.node_port, *write_series(tmp_path / "in", count=3, **tags))
        ended(config, state="skipped")
        (series,) = journal_of(config).series()
        assert reason in series.reason
        assert not journal_of(config).deliveries()
        assert not instances(beside)


def test_two_studies_over_four_associations_at_once_are_two_results_a_study(bench, tmp_path):
    found = bench.interleaved(tmp_path, images=48, series=2)
    assert found["images"] == 48 and found["sent"] == 52 and found["series"] == 4


def stow(port, files, *, study="", token=""):
    parts = b"".join(b"--x\r\nContent-Type: application/dicom\r\n\r\n" + one.read_bytes() + b"\r\n" for one in files)
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    address = f"http://127.0.0.1:{port}/dicom-web/studies{study}"
    request = urllib.request.Request(address, data=parts + b"--x--\r\n", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_other_doors_and_stow_rs_as_target(beside, tmp_path):
    web_port = free_port()
    (tmp_path / "drop").mkdir()
    text = f"""
[[targets]]
name = "web"
kind = "web"
url = "http://127.0.0.1:{beside.web_port}/dicom-web"
[watch]
folder = "{tmp_path / "drop"}"
every_s = 0.3
settle_s = 0
[[pull]]
url = "http://127.0.0.1:{beside.web_port}/dicom-web"
query = {{ StudyDate = "20240503" }}
every_s = 0.5
"""
    config = node_settings(tmp_path / "n", port=beside.node_port, web_port=web_port, text=text)
    pulled = write_series(tmp_path / "pulled", seed=1, count=4)
    pushed = write_series(tmp_path / "pushed", seed=2, count=4)
    dropped = write_series(tmp_path / "dropped", seed=3, count=4)
    send(beside.port, *pulled, called="ORTHANC")
    with running_node(config):
        status, reply = stow(web_port, pushed)
        assert status == 200
        assert len(reply["00081199"]["Value"]) == 4
        (other,) = write_series(tmp_path / "ct", count=1, SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
        status, reply = stow(web_port, [pushed[0], other])
        assert (status, reply["00081198"]["Value"][0]["00081197"]["Value"]) == (202, [0x0122])
        assert stow(web_port, pushed, study="/1.2.3")[0] == 409
        for one in dropped:
            one.rename(tmp_path / "drop" / f"{one.name}.part")
        for one in (tmp_path / "drop").iterdir():
            one.rename(one.with_suffix(""))
        ended(config, count=3)
        assert sorted(one.door for one in journal_of(config).series()) == ["folder", "pull", "web"]
        assert not list((tmp_path / "drop").iterdir())
        assert [one.Modality for one in results(beside)].count("SR") == 3
        assert sorted(len(journal_of(config).instances(one.id)) for one in journal_of(config).series()) == [4, 4, 4]
        with urllib.request.urlopen(f"http://127.0.0.1:{web_port}/metrics") as metrics:
            text = metrics.read().decode()
        assert 'brainsift_node_series{state="delivered"} 3.0' in text
        assert 'brainsift_node_objects_total{door="web",outcome="refused"} 5.0' in text
        assert urllib.request.urlopen(f"http://127.0.0.1:{web_port}/readyz").status == 200


def test_nothing_that_the_node_writes_for_people_names_the_patient(beside, tmp_path):
    web_port = free_port()
    text = f'[[targets]]\nname = "away"\nae_title = "AWAY"\nport = {free_port()}\n'
    config = node_settings(tmp_path / "n", port=beside.node_port, web_port=web_port, target=beside.port, text=text)
    written = []
    with running_node(config):
        files = write_series(tmp_path / "in", count=4)
        broken = tmp_path / "broken.dcm"
        content = bytearray(files[0].read_bytes())
        place = content.find(PATIENT["PatientBirthDate"].encode())
        content[place : place + 4] = b"19X7"
        broken.write_bytes(content)
        send(beside.node_port, *files)
        written.append(str(stow(web_port, [broken, files[0].with_name("0001.dcm")])))
        written.append(str(stow(web_port, [broken], study=f"/{PATIENT['PatientID']}")))
        until(lambda: journal_of(config).delivery_counts().get(("archive", "delivered")))
        until(lambda: any(one.error for one in journal_of(config).deliveries(target="away")))
        for path in ("/metrics", "/nowhere", f"/dicom-web/studies/{PATIENT['PatientID']}"):
            try:
                written.append(urllib.request.urlopen(f"http://127.0.0.1:{web_port}{path}").read().decode())
            except urllib.error.HTTPError as error:
                written.append(error.read().decode())
        status = [sys.executable, "-m", "brainsift", "node", "status", str(config)]
        written.append(subprocess.run(status, capture_output=True, text=True, check=True).stdout)
    log = (config.parent / "log.txt").read_text()
    assert all(json.loads(line) for line in log.splitlines() if line.startswith("{"))
    written += [log, *(str(path) for path in (tmp_path / "n").rglob("*"))]
    journal = b"".join(path.read_bytes() for path in (tmp_path / "n" / "node").glob("journal*"))
    for word in (word for value in PATIENT.values() for word in (value, *value.split("^"))):
        assert not any(word in one for one in written), word
        assert word.encode() not in journal
    uids = {pydicom.dcmread(files[0])[tag].value for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    assert not any(uid in one for uid in uids for one in written[2:])  # replies to STOW-RS name what they speak of


def test_check_says_which_target_replies(beside, tmp_path):
    text = f'[[targets]]\nname = "away"\nae_title = "AWAY"\nport = {free_port()}\n'
    config = node_settings(tmp_path / "n", port=beside.node_port, target=beside.port, text=text)
    words = [sys.executable, "-m", "brainsift", "node", str(config), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "Target archive: replies" in done.stdout
    assert "Target away: cannot be reached" in done.stdout


def test_a_second_pacs_gets_the_results_as_well(tmp_path):
    port, other = free_port(), free_port()
    (tmp_path / "db").mkdir()
    (tmp_path / "qr.cfg").write_text(
        f"NetworkTCPPort = {other}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\n"
        f"me = (BRAINSIFT, 127.0.0.1, {port})\nHostTable END\nVendorTable BEGIN\nVendorTable END\nAETable BEGIN\n"
        f"ORTHANC {tmp_path / 'db'} RW (200, 1024mb) ANY\nAETable END\n"
    )
    config = node_settings(tmp_path / "n", port=port, target=other)
    with process(program("dcmqrscp"), "-c", tmp_path / "qr.cfg"), running_node(config):
        send(port, *write_series(tmp_path / "in", count=4))
        ended(config)
        kept = [
            pydicom.dcmread(path).Modality
            for path in (tmp_path / "db").glob("*")
            if path.stat().st_size > 2000 and path.name != "index.dat"
        ]
        assert kept.count("SR") == 1


def test_storage_commitment_where_the_target_offers_it(beside, tmp_path):
    text = "commit = true\n"
    config = node_settings(tmp_path / "n", port=beside.node_port, target=beside.port, text=text)
    with running_node(config):
        send(beside.node_port, *write_series(tmp_path / "in", count=4))
        ended(config)
        assert not [one.error for one in journal_of(config).deliveries() if one.error]
    assert '"storage committed"' in (config.parent / "log.txt").read_text()
