"""The OpenAPI document: examples for every body, an error for every route, and how the service gives it."""

import re

import pytest
import requests

from brainsift.core.reasons import Reason
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.app import create_app


@pytest.fixture(scope="module")
def document():
    """The document of a service that was made, not started."""
    app = create_app(ServeConfig(browser=False, threads=1, timeout_s=20))
    app.state.service.engine.close()
    app.state.service.store.close()
    return app.openapi()


def test_every_body_has_an_example_and_every_route_an_error(document):
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


def test_the_picture_of_16_bits_and_its_headers_are_documented(document):
    (path,) = (path for path in document["paths"] if path.endswith("/slices/{place}/picture.png"))
    operation = document["paths"][path]["get"]
    (depth,) = (one for one in operation["parameters"] if one["name"] == "depth")
    assert depth["schema"]["enum"] == ["8", "16"] and depth["schema"]["default"] == "8"
    assert set(operation["responses"]["200"]["headers"]) == {"X-Values", "X-Window"}


def _resolved(document, schema):
    name = re.sub(".*/", "", schema.get("$ref", ""))
    return document["components"]["schemas"].get(name, schema)


def test_the_document_is_served_and_asks_for_nothing_from_elsewhere(served, document):
    assert requests.get(f"{served.url}/openapi.json").json()["paths"].keys() == document["paths"].keys()
