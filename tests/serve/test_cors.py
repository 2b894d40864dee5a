"""Pages of another website: refused by default, and those of one chosen origin may use the service."""

import pytest
import requests

from brainsift.core.errors import UsageError
from brainsift.serve.config import ServeConfig

SITE = "https://lab.example"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
ALLOWED = "access-control-allow-origin"


@pytest.fixture(scope="module")
def shared(serving):
    with serving(cors=SITE, token="a-token-for-the-lab", threads=1) as running:
        yield running.url


def test_by_default_no_other_site_may(served):
    reply = requests.get(f"{served.url}/healthz", headers={"Origin": SITE})
    assert ALLOWED not in reply.headers and reply.headers["cross-origin-resource-policy"] == "same-origin"
    asked = requests.options(f"{served.url}/api/v1/jobs", headers={"Origin": SITE, **ASKS})
    assert asked.status_code == 405 and ALLOWED not in asked.headers
    assert requests.post(f"{served.url}/api/v1/predict", headers={"Origin": SITE}).status_code == 403


def test_the_chosen_site_may_ask_beforehand_and_use_the_service(shared):
    asked = requests.options(f"{shared}/api/v1/predict", headers={"Origin": SITE, **ASKS})
    assert asked.status_code == 204 and asked.headers[ALLOWED] == SITE
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    bearer = {"Origin": SITE, "Authorization": "Bearer a-token-for-the-lab"}
    reply = requests.get(f"{shared}/api/v1/model", headers=bearer)
    assert reply.status_code == 200 and reply.headers[ALLOWED] == SITE and "Origin" in reply.headers["vary"]
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "access-control-allow-credentials" not in reply.headers
    assert requests.post(f"{shared}/api/v1/predict", headers=bearer).status_code not in (401, 403)


def test_the_chosen_site_still_needs_the_token(shared):
    reply = requests.get(f"{shared}/api/v1/model", headers={"Origin": SITE})
    assert reply.status_code == 401 and reply.headers[ALLOWED] == SITE  # so that the page can read why


@pytest.mark.parametrize("site", ["https://evil.example", "http://lab.example", f"{SITE}.evil.example", "null"])
def test_other_sites_may_not(shared, site):
    asked = requests.options(f"{shared}/api/v1/predict", headers={"Origin": site, **ASKS})
    assert asked.status_code != 204 and ALLOWED not in asked.headers
    bearer = {"Origin": site, "Authorization": "Bearer a-token-for-the-lab"}
    assert requests.post(f"{shared}/api/v1/predict", headers=bearer).status_code == 403


@pytest.mark.parametrize(
    "origin", ["*", "lab.example", "https://lab.example/", "https://a.example https://b.example", ""]
)
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(UsageError, match="one origin"):
        ServeConfig(cors=origin)


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://lab.example", "http://[::1]:8080"])
def test_an_origin_is_taken(origin):
    assert ServeConfig(cors=origin).cors == origin
