"""The files of `deploy/`: systemd reads the unit, and the settings of both sides of the compose file work together."""

import base64
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from functools import partial

import pytest

from brainsift.node.journal import Journal

from .conftest import ROOT, free_port, orthanc, running_node, until, write_series

pytestmark = pytest.mark.slow
DEPLOY = ROOT / "deploy"


def test_systemd_reads_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd: systemd-analyze is not installed")
    unit = (DEPLOY / "brainsift-node.service").read_text()
    command = "/opt/brainsift/bin/brainsift"
    assert f"ExecStart={command} node" in unit
    (tmp_path / "brainsift-node.service").write_text(unit.replace(command, sys.executable))
    words = ["systemd-analyze", "verify", tmp_path / "brainsift-node.service"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def replaced(text, pairs):
    """In one pass: a port that was just written may contain the digits of the next."""
    assert all(old in text for old in pairs)
    return re.sub("|".join(map(re.escape, pairs)), lambda found: pairs[found[0]], text)


def ask(port, path, body=None):
    secret = base64.b64encode(b"reader:secret").decode()
    headers = {"Authorization": f"Basic {secret}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


@pytest.mark.usefixtures("network")
def test_both_sides_of_the_compose_file_work_together(tmp_path):
    """With the names of the containers and their ports replaced, since all runs on one machine here."""
    ports = {name: free_port() for name in ("node", "web", "archive")}
    archived = json.loads((DEPLOY / "orthanc.json").read_text())
    archived["DicomModalities"]["brainsift"] |= {"Host": "127.0.0.1", "Port": ports["node"]}
    archived |= {"RegisteredUsers": {"reader": "secret"}, "StableAge": 1}
    settings = replaced(
        (DEPLOY / "node.toml").read_text(),
        {
            "/data": str(tmp_path),
            "0.0.0.0": "127.0.0.1",
            '"orthanc"': '"127.0.0.1"',
            "11112": str(ports["node"]),
            "8766": str(ports["web"]),
            "4242": str(ports["archive"]),
        },
    )
    (tmp_path / "node.toml").write_text(settings)
    archived["DicomPort"] = ports["archive"]
    with orthanc(tmp_path / "orthanc", ports["node"], port=ports["archive"], **archived) as archive:
        get = partial(ask, archive.web_port)
        for path in write_series(tmp_path / "in", count=4):
            get("/instances", path.read_bytes())
        with running_node(tmp_path / "node.toml"):
            (series,) = get("/series")
            get("/modalities/brainsift/store", series.encode())
            journal = Journal(tmp_path / "node")
            until(lambda: journal.counts() == {"delivered": 1})  # before the quiet time: it asks for the count
            kinds = [one["MainDicomTags"]["Modality"] for one in get("/series?expand")]
    assert sorted(kinds) == ["MR", "OT", "SEG", "SR"]
