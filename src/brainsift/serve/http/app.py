"""The web application: routes, one form for every error, the page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from brainsift import __version__
from brainsift.core.errors import (
    BrainsiftError,
    MethodError,
    NotFoundError,
    ServeError,
    UnavailableError,
    UsageError,
)
from brainsift.inference.bundle import Bundle, load_bundle
from brainsift.pages.api_page import api_page
from brainsift.serve.config import ServeConfig
from brainsift.serve.http import contour_routes, history_routes
from brainsift.serve.http.middleware import COOKIE, Gate, error_response, too_large
from brainsift.serve.http.routes import errors, router
from brainsift.serve.http.service import Service
from brainsift.serve.loopback import is_loopback
from brainsift.serve.prometheus import CONTENT_TYPE
from brainsift.serve.schemas import Health

PAGE = Path(__file__).parents[1] / "page"


def create_app(config: ServeConfig | None = None, bundle: Bundle | None = None, *, framed: bool = False) -> FastAPI:
    """Makes the application.

    Args:
        config: how it runs.
        bundle: the network; by default the one that comes with the package.
        framed: whether notebooks of this machine may show its page in a frame.

    Raises:
        UsageError: it is to be framed, and other machines can reach it.
    """
    config = config or ServeConfig()
    if framed and not is_loopback(config.host):
        raise UsageError("host", f"must be this machine for a framed page, not {config.host}", "Write 127.0.0.1.")
    service = Service(config, bundle or load_bundle())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="brainsift",
        version=__version__,
        description=f"Tells whether a brain MRI slice shows a tumor. {service.bundle.notice}",
        lifespan=lifespan,
        docs_url=None,  # such pages load scripts from elsewhere; see `_add_docs`
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(Gate, config=service.config, metrics=service.metrics, framed=framed)
    _add_errors(app)
    _add_health(app, service)
    app.include_router(router(service))
    app.include_router(contour_routes.router(service), responses=errors(404, 413, 422))
    app.include_router(history_routes.router(service.history), responses=errors(404))
    _add_page(app, service)
    _add_docs(app)
    _remove_validation_schema(app)  # last: the framework makes the document anew after each route
    return app


def _remove_validation_schema(app: FastAPI) -> None:
    """Removes the framework's own form of errors from the OpenAPI document: no reply has it."""
    document = app.openapi()  # the application keeps this very object
    for methods in document["paths"].values():
        for operation in methods.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(BrainsiftError)
    async def refused(request: Request, error: BrainsiftError) -> Response:
        return error_response(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def wrong_arguments(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        remedy = "See /openapi.json for the values that are allowed."
        return error_response(UsageError(name, first["msg"], remedy), request.state.request_id)

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        remedy = "See /openapi.json for all addresses."
        if error.status_code == 404:
            found: BrainsiftError = NotFoundError("address", "does not exist", remedy)
        elif error.status_code == 405:
            found = MethodError("method", f"{request.method} is not allowed for this address", remedy)
        elif error.status_code == 413:
            found = too_large(request.url.path)
        elif error.status_code < 500:
            found = UsageError("request", str(error.detail), remedy)
        else:
            found = ServeError("request", "failed", "Tell the person who runs the service.")
        response = error_response(found, request.state.request_id)
        response.headers.update(error.headers or {})
        return response


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> Health:
        """The process runs."""
        return Health()

    @app.get("/readyz", responses=errors(503))
    async def readyz() -> Health:
        """The service takes requests."""
        if service.stopping:
            raise UnavailableError("service", "is stopping", "Try again after it was restarted.")
        return Health()

    @app.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE: {}}}, **errors()})
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _add_page(app: FastAPI, service: Service) -> None:
    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        if service.config.token and "token" in request.query_params:
            response: Response = RedirectResponse("/", 303)
            secure = request.url.scheme == "https"
            response.set_cookie(COOKIE, service.config.token, httponly=True, samesite="strict", secure=secure)
            return response
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    app.mount("/page", _Assets(directory=PAGE))


def _add_docs(app: FastAPI) -> None:
    @cache
    def page() -> str:
        return api_page(app.openapi())

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page())


class _Assets(StaticFiles):
    """Files of the page; browsers check them each time, so that no old module meets a new one after an upgrade."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["cache-control"] = "no-cache"
        return response
