"""What schemathesis makes of the OpenAPI document: no request ends in a 5xx, and every response is a documented one."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis.checks import CHECKS, load_all_checks

from brainsift.serve.config import ServeConfig
from brainsift.serve.http.app import create_app

pytestmark = pytest.mark.slow

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


@seed(1)
@SCHEMA.parametrize()
@settings(
    max_examples=12,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_ends_in_a_5xx_or_breaks_the_document(case, kept):
    case.call_and_validate(base_url=kept, checks=WANTED)
