"""The service for notebooks: who may frame it, and that it ends with the process that started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from PIL import Image

from brainsift.core.errors import UsageError
from brainsift.images.phantom import draw
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.app import create_app

SCRIPT = """
import sys, time
import brainsift as bs
from brainsift import notebook_frame
shown = bs.show(sys.argv[1])
((process, url),) = notebook_frame._servers.values()
assert bs.show(sys.argv[1]).url.startswith(url)
print(process.pid, url, flush=True)
sys.stdin.read(1)
"""
POLICY = "Content-Security-Policy"


def test_only_a_service_for_notebooks_may_be_framed_and_only_on_this_machine(served):
    for path in ("/", "/docs", "/page/app.js", "/api/v1/model"):
        assert "frame-ancestors 'none'" in requests.get(served.url + path).headers[POLICY]
    with pytest.raises(UsageError, match="must be this machine"):
        create_app(ServeConfig(host="0.0.0.0", token="a-token-for-the-lab", browser=False), framed=True)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["returns", "is killed"])
def test_it_ends_with_the_process_that_started_it_and_leaves_nothing(tmp_path, until, end):
    image, folder = tmp_path / "head.png", tmp_path / "temporary"
    folder.mkdir()
    Image.fromarray(draw(4, tumor=True).pixels).save(image)
    started = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(image)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    with started:
        pid, url = started.stdout.readline().split()
        policy = requests.get(url).headers[POLICY]
        ancestors = policy.partition("frame-ancestors ")[2].split()
        assert ancestors and all(one.split("//")[1] in ("127.0.0.1:*", "localhost:*") for one in ancestors)
        assert requests.get(url, headers={"Host": "evil.example"}).status_code == 403
        assert requests.post(f"{url}/api/v1/jobs", headers={"Origin": "http://localhost:1"}).status_code == 403
        assert list(folder.iterdir())
        if end == "returns":
            started.stdin.write("\n")
            started.stdin.flush()
        else:
            started.send_signal(signal.SIGKILL)
        started.wait(60)
    until(lambda: not _runs(int(pid)))
    assert list(folder.iterdir()) == []


def _runs(pid):
    """Whether a process runs; one that ended and that nobody waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
