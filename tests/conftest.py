"""What the tests share: which of them run, what may be skipped, where the real images are, and drawn heads.

`pytest` runs the inner loop, in two processes. `pytest --all` also runs what takes long (`slow`), what needs a browser
(`browser`) and what needs the real images (`real`). A test that is named, by file or by `-m`, always runs.

The inner loop imports no file of which all tests are left out: one that says `pytestmark = pytest.mark.slow`, or
`browser`. Put there what imports a large package that no other test needs.

Warnings are errors, except those that pyproject.toml names.

`BRAINSIFT_REQUIRE=chromium,data` turns a skip into a failure where its reason begins with `needs chromium:` or
`needs data:`. It is for machines on which these are installed.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several test processes share the cores

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import pandas as pd

settings.register_profile("untimed", settings(), deadline=None)  # machines may be busy: nothing is timed
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]
REQUIRABLE = (
    "chromium",
    "data",
    "dcmtk",
    "dicom",
    "dicom3tools",
    "docs",
    "gdcm",
    "git",
    "log",
    "node",
    "pacs",
    "pango",
    "ray",
    "train",
    "systemd",
    "typescript",
)
_REQUIRED = [name for name in os.environ.get("BRAINSIFT_REQUIRE", "").split(",") if name]
_OUTSIDE_THE_INNER_LOOP = ("slow", "browser", "real")
_LEFT_OUT_AS_A_WHOLE = re.compile(
    rf"^pytestmark = \[?\s*pytest\.mark\.({'|'.join(_OUTSIDE_THE_INNER_LOOP)})\b", re.MULTILINE
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--all`."""
    parser.addoption("--all", action="store_true", help="run also the tests marked slow, browser and real")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Runs in two processes where neither tests nor a number of processes are named."""
    option = config.option
    is_one_of_several = hasattr(config, "workerinput")
    if getattr(option, "numprocesses", 1) is None and not (is_one_of_several or option.usepdb or _are_named(config)):
        option.numprocesses = 2


def pytest_configure(config: pytest.Config) -> None:
    """Refuses names in BRAINSIFT_REQUIRE that require nothing; loads a plugin that takes long to import, if needed."""
    if unknown := sorted(set(_REQUIRED) - set(REQUIRABLE)):
        raise pytest.UsageError(f"BRAINSIFT_REQUIRE: {unknown} is none of {', '.join(REQUIRABLE)}")
    if not _is_inner_loop(config) and find_spec("schemathesis"):  # tests/serve/test_requests.py
        config.pluginmanager.import_plugin("schemathesis.pytest.plugin")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out files of which no test is in the inner loop, before they are imported."""
    if not _is_inner_loop(config) or collection_path.suffix != ".py":
        return None
    return bool(_LEFT_OUT_AS_A_WHOLE.search(collection_path.read_text(encoding="utf-8"))) or None


def _are_named(config: pytest.Config) -> bool:
    return config.args_source is pytest.Config.ArgsSource.ARGS or bool(config.getoption("markexpr"))


def _is_inner_loop(config: pytest.Config) -> bool:
    return not config.getoption("all") and not _are_named(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks tests by what they use, leaves out what is not in the inner loop, puts what shares costly work first.

    The first of several processes gets these: so the network is trained once, the heads are drawn once, and one
    process imports what networks are made of.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for fixture, marker in (("small_run", "slow"), ("data", "real")):
            if fixture in fixtures:
                item.add_marker(marker)
    items.sort(key=_place)
    if not _is_inner_loop(config):
        return
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in _OUTSIDE_THE_INNER_LOOP)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _place(item: pytest.Item) -> tuple[bool, bool]:
    fixtures = getattr(item, "fixturenames", ())
    return "small_run" not in fixtures, "phantoms" not in fixtures and item.path.parent.name != "training"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Skips a test that lacks a package of `[train]`; fails one that was skipped although its need is required."""
    return _required(_needs_train((yield), item.path))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Does the same for a whole file of tests."""
    return _required(_needs_train((yield), collector.path))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Shows the coverage of each package, where `--cov` measured it: by file it would be a table of 180 lines."""
    if not config.getoption("cov_source", default=None):
        return
    from coverage import Coverage

    measured, counts = Coverage(), {}
    measured.load()
    for path in measured.get_data().measured_files():
        _, statements, _, missing, _ = measured.analysis2(path)
        package = Path(path).relative_to(ROOT / "src/brainsift").parts[:-1]
        total, lacking = counts.get(package[:1], (0, 0))
        counts[package[:1]] = total + len(statements), lacking + len(missing)
    terminalreporter.section("statements that the tests ran, by package")
    for package, (total, lacking) in sorted(counts.items()):
        name = ".".join(("brainsift", *package))
        terminalreporter.write_line(f"{name:<24} {total:>6} {(total - lacking) / total:>7.1%}")
    total, lacking = map(sum, zip(*counts.values(), strict=True))
    terminalreporter.write_line(f"{'in all':<24} {total:>6} {(total - lacking) / total:>7.1%}")


def _needs_train(report, path):
    """Turns the failure of an import of `[train]` into a skip, where only the base install is there."""
    lacks = re.search(r"(?:No module named '|needs the package )(\w+)", str(report.longrepr))
    if report.failed and lacks and find_spec("torch") is None:
        report.outcome = "skipped"
        report.longrepr = (str(path), 0, f"Skipped: needs train: {lacks[1]} is not in the base install")
    return report


def _required(report):
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        need = re.match(r"(?:Skipped: )?needs (\w+):", reason)
        if need and need[1] in _REQUIRED:
            report.outcome = "failed"
            report.longrepr = f"{reason}. BRAINSIFT_REQUIRE names {need[1]}, so this is a failure and no skip."
    return report


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real image sets; the test is skipped where it is absent."""
    folder = Path(os.environ.get("BRAINSIFT_DATA", ROOT / "../shared/data")).resolve()
    if not (folder / "br35h").is_dir():
        pytest.skip(f"needs data: no real images in {folder}; set BRAINSIFT_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn heads with and without drawn tumors."""
    from brainsift.images.phantom import write_phantoms

    return write_phantoms(tmp_path_factory.mktemp("phantoms"), count=96, seed=3).parent


@pytest.fixture(scope="session")
def audited(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> "pd.DataFrame":
    """The audited manifest of the drawn heads."""
    from brainsift.auditing.audit import AuditConfig, audit
    from brainsift.datasets.catalog import collect

    folder = tmp_path_factory.mktemp("audit")
    return audit(collect([f"phantom={phantoms}"]), AuditConfig(probes=False, workers=1), cache=folder).manifest


@pytest.fixture(scope="session")
def parted(audited: "pd.DataFrame") -> "pd.DataFrame":
    """The manifest of the drawn heads, split by groups."""
    from brainsift.datasets.split import SplitConfig, split

    return split(audited, SplitConfig(folds=4, validation_share=0.3))


@pytest.fixture(scope="session")
def small_run(parted: "pd.DataFrame", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network trained on the drawn heads, evaluated."""
    from brainsift.evaluation.evaluate import evaluate_run
    from brainsift.training.recipes import make_config
    from brainsift.training.train import train

    folder = tmp_path_factory.mktemp("small")
    config = make_config("compact", size=32, batch_size=8, threads=1, precision="fp32", epochs=3)
    train(parted, config, folder / "run", cache=folder / "cache", origin={"protocol": "grouped", "fold": 0})
    evaluate_run(folder / "run")
    return folder / "run"


@pytest.fixture(scope="session")
def bundle_folder(small_run: Path) -> Path:
    """The bundle of that network, which the command exported."""
    from brainsift.cli.main import main

    folder = small_run.parent / "bundle"
    assert main(["export", str(small_run), "-o", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def serving():
    """Starts `brainsift serve` on a free port: ``with serving(queue=1) as running: running.url``."""
    return _serving


@pytest.fixture(scope="session")
def served(serving):
    """A service with the shipped network, for all tests that only ask."""
    with serving() as running:
        yield running


@contextmanager
def _serving(bundle=None, **settings):
    from brainsift.serve.config import ServeConfig
    from brainsift.serve.http.app import create_app
    from brainsift.serve.http.server import Server, address, listen

    config = ServeConfig(**{"port": 0, "browser": False, "threads": 2, "grace_s": 20, **settings})
    app = create_app(config, bundle)
    with listen(config) as listener:
        server = Server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield SimpleNamespace(
                url=address(config, listener), server=server, service=app.state.service, thread=thread
            )
        finally:
            server.handle_exit(signal.SIGTERM, None)
            thread.join()
