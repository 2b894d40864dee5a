"""What the tests of series, stacks and groups share."""

from types import SimpleNamespace

import pytest

from brainsift.images.phantom import draw

from .drawn import save

SIDE = 64


@pytest.fixture(scope="session")
def dicom():
    """What draws a head and saves DICOM files: ``dicom.save(path, dicom.head, number=3)``."""
    return SimpleNamespace(save=save, head=draw(5, tumor=True, size=SIDE).pixels)
