"""The tree of errors: codes, one message, one JSON shape, and a way between processes."""

import json
import pickle
import re

import pytest

from brainsift.core import errors
from brainsift.core.errors import BrainsiftError

# As the head of the module and the documents promise: exit code, HTTP status.
PROMISED = {
    "UsageError": (2, 400),
    "MissingExtraError": (2, 501),
    "InputError": (3, 422),
    "UnreadableImageError": (3, 422),
    "ImageSizeError": (3, 422),
    "SourceError": (3, 422),
    "ManifestError": (3, 422),
    "BundleError": (3, 422),
    "DownloadError": (4, 502),
    "RunError": (5, 409),
    "HistoryError": (5, 500),
    "NodeError": (5, 500),
    "RefusedObjectError": (5, 500),
    "ServeError": (4, 500),
    "AuthError": (4, 401),
    "ForbiddenError": (4, 403),
    "NotFoundError": (4, 404),
    "MethodError": (4, 405),
    "PendingError": (4, 409),
    "UploadError": (4, 413),
    "MediaTypeError": (4, 415),
    "BusyError": (4, 429),
    "UnavailableError": (4, 503),
    "SlowError": (4, 504),
}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, BrainsiftError) and kind is not BrainsiftError
]


def test_every_kind_has_the_promised_codes():
    assert {kind.__name__: (kind.exit_code, kind.http_status) for kind in KINDS} == PROMISED


def test_the_head_of_the_module_draws_every_kind_with_its_codes():
    drawn = re.findall(r"[├└]── (\w+)(?:.*exit (\d), HTTP (\d+))?", errors.__doc__)
    assert {name for name, *_ in drawn} == set(PROMISED)
    assert all(PROMISED[name] == (int(code), int(status)) for name, code, status in drawn if code)


def test_codes_in_json_are_distinct():
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert "error" not in {kind.code for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_message_json_and_pickle_say_the_same(kind):
    error = kind(42, "must be odd, not 42", "Give 43.")
    assert str(error) == "42: must be odd, not 42. Give 43."
    told = {"code": kind.code, "subject": "42", "rule": "must be odd, not 42", "remedy": "Give 43."}
    assert json.loads(json.dumps(error.to_dict())) == told
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is kind
    assert (str(twin), twin.to_dict()) == (str(error), told)
    assert repr(errors.from_dict(told)) == repr(error)
