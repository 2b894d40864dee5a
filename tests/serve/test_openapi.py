"""The OpenAPI document: examples for every body, and what schemathesis makes of it ends in no 5xx."""

import re

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis.checks import CHECKS, load_all_checks

from brainsift.core.reasons import Reason
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.app import create_app

load_all_checks()
schemathesis.serializer.alias(["application/dicom", "application/gzip", "application/zip"], "application/octet-stream")
NAMES = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
WANTED = CHECKS.get_by_names(list(NAMES))
APP = create_app(ServeConfig(browser=False, threads=1, timeout_s=20))
SCHEMA = schemathesis.openapi.from_dict(APP.openapi())
APP.state.service.engine.close()
APP.state.service.store.close()


@pytest.fixture(scope="module")
def kept(serving, tmp_path_factory):
    """A service with a history, so that its routes answer."""
    with serving(keep=tmp_path_factory.mktemp("history"), keep_images=True) as running:
        yield running.url


@pytest.mark.slow
@seed(1)
@SCHEMA.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_ends_in_a_5xx_or_breaks_the_document(case, kept):
    case.call_and_validate(base_url=kept, checks=WANTED)


def test_every_body_has_an_example_and_every_route_an_error():
    document = APP.openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                example = "example" in body or "examples" in body or "examples" in _resolved(document, body["schema"])
                assert example or body["schema"].get("format") == "binary", (path, method, kind)
            if path not in ("/healthz",):
                assert any(status.startswith(("4", "5")) for status in operation["responses"]), (path, method)
    assert "HTTPValidationError" not in str(document)
    schemas = document["components"]["schemas"]
    for result in ("SliceResult", "VolumeResult"):
        assert all("examples" in field or name == "map" for name, field in schemas[result]["properties"].items())
        assert {"reason", "detail"} <= set(schemas[result]["required"])
    assert set(schemas["Reason"]["enum"]) == {str(reason) for reason in Reason}


def test_the_picture_of_16_bits_and_its_headers_are_documented():
    (path,) = (path for path in APP.openapi()["paths"] if path.endswith("/picture.png") and "/jobs/" in path)
    operation = APP.openapi()["paths"][path]["get"]
    (depth,) = (one for one in operation["parameters"] if one["name"] == "depth")
    assert depth["schema"]["enum"] == ["8", "16"] and depth["schema"]["default"] == "8"
    assert set(operation["responses"]["200"]["headers"]) == {"X-Values", "X-Window"}


def _resolved(document, schema):
    name = re.sub(".*/", "", schema.get("$ref", ""))
    return document["components"]["schemas"].get(name, schema)


def test_the_document_is_served_and_asks_for_nothing_from_elsewhere(served):
    assert requests.get(f"{served.url}/openapi.json").json()["paths"].keys() == APP.openapi()["paths"].keys()
