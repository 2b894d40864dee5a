"""The page of the HTTP API holds all of the OpenAPI document, and nothing of it as markup."""

import re

import pytest

from brainsift.pages.api_page import api_page
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.app import create_app


@pytest.fixture(scope="module")
def document():
    app = create_app(ServeConfig(browser=False, threads=1))
    app.state.service.engine.close()
    app.state.service.store.close()
    return app.openapi()


def test_each_method_parameter_reply_and_object_is_there(document):
    page = api_page(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            (text,) = re.findall(rf'<section aria-labelledby="{operation["operationId"]}">.*?</section>', page, re.S)
            assert f"<code>{method.upper()} {path}</code>" in text
            for parameter in operation.get("parameters", []):
                assert f"<code>{parameter['name']}</code>" in text
            for status in operation["responses"]:
                assert f"<strong>{status}</strong>" in text
            for media in operation.get("requestBody", {}).get("content", {}):
                assert f"<code>{media}</code>" in text
    for name, schema in document["components"]["schemas"].items():
        (text,) = re.findall(rf'<section aria-labelledby="{name}">.*?</section>', page, re.S)
        for field in schema.get("properties", {}):
            assert f"<code>{field}</code>" in text


def test_each_link_of_the_page_leads_somewhere(document):
    page = api_page(document)
    places = re.findall(r'id="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= {*places}
    assert not re.search(r"https?://|<script>|style=", page)


def test_words_of_the_document_are_text(document):
    info = {"title": "x", "description": "<img src=x>", "version": "1"}
    page = api_page({**document, "info": info})
    assert "<img" not in page and "&lt;img src=x&gt;" in page
