"""What the tests of the service share."""

import time

import pytest


@pytest.fixture(scope="session")
def until():
    """Waits for something that another thread or process does: ``until(lambda: job.over)``."""
    return _until


def _until(happens):
    deadline = time.monotonic() + 300  # for what never happens, not for slow machines
    while not (found := happens()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found
