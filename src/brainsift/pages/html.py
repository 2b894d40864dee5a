"""Templates to self-contained HTML or PDF pages."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import ImageFile

from brainsift import __version__
from brainsift.core import text
from brainsift.core.errors import MissingExtraError, in_one_line
from brainsift.core.files import check_writable, replacing, write_text

_FILTERS = ("shown", "span", "words", "p_value", "thousands", "duration")


def render(template: str, context: dict[str, Any]) -> str:
    """Fills one of the package's templates; a value that is missing in the context is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {name: getattr(text, name) for name in _FILTERS}
    environment.filters.update(filters, svg=Markup)
    page = environment.get_template(template).render(context)
    return page.encode("utf-8", "backslashreplace").decode()  # names of files may be no UTF-8


def page_head(results: dict[str, Any]) -> dict[str, Any]:
    """Returns what every page shows at its top: title, date, version and commit."""
    created = str(results.get("created") or datetime.now(UTC).isoformat(timespec="seconds"))
    version = results.get("version") or __version__
    commit = f", commit {results['commit']}" if results.get("commit") else ""
    return {
        "title": results["title"],
        "meta": f"{created[:16].replace('T', ' ')} UTC, brainsift {version}{commit}",
        "version": version,
        "phantom": bool(results.get("phantom")),
    }


def check_page(out: Path) -> None:
    """Refuses a page that `write_page` could not write, before work is spent on its content.

    Raises:
        InputError: no file can be written there.
        MissingExtraError: a PDF without the extra `pdf`.
    """
    check_writable(out)
    if _is_pdf(out):
        check_printer()


def check_printer() -> None:
    """Refuses to go on without what prints a PDF.

    Raises:
        MissingExtraError: without the extra `pdf`.
    """
    _printer()


def write_page(out: Path, html: str) -> None:
    """Writes a page, whole or not at all: HTML, or PDF where the name ends in .pdf.

    Raises:
        MissingExtraError: a PDF without the extra `pdf`.
    """
    if not _is_pdf(out):
        write_text(out, html)
        return
    with replacing(out) as temporary:
        temporary.write_bytes(pdf_of(html))


def pdf_of(html: str) -> bytes:
    """Prints a page as PDF; the same page gives the same bytes.

    Raises:
        MissingExtraError: without the extra `pdf`.
    """
    printed: bytes = _printer()(string=html).write_pdf()
    return printed


def _is_pdf(out: Path) -> bool:
    return out.suffix.lower() == ".pdf"


def _printer() -> Any:
    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        from weasyprint import HTML  # its import makes Pillow accept broken images
    except (ImportError, OSError) as error:  # OSError: the text library that it draws with
        remedy = "Run pip install 'brainsift[pdf]', and install Pango with your system's packages; or write HTML."
        raise MissingExtraError("PDF", f"cannot be written: {in_one_line(error)}", remedy) from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = strict
    return HTML
