"""What the tests share: where the real images are, and a small table of drawn heads."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several test processes share the cores

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the trained network come first: of several processes the first gets them, and trains it once."""
    items.sort(key=lambda item: "small_run" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real image sets; the test is skipped where it is absent."""
    folder = Path(os.environ.get("BRAINSIFT_DATA", ROOT / "../shared/data")).resolve()
    if not (folder / "br35h").is_dir():
        pytest.skip(f"real images not found in {folder}; set BRAINSIFT_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn heads with and without drawn tumors."""
    from brainsift.images.phantom import write_phantoms

    return write_phantoms(tmp_path_factory.mktemp("phantoms"), count=96, seed=3).parent


@pytest.fixture(scope="session")
def audited(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The audited manifest of the drawn heads."""
    from brainsift.auditing.audit import AuditConfig, audit
    from brainsift.datasets.catalog import collect

    folder = tmp_path_factory.mktemp("audit")
    return audit(collect([f"phantom={phantoms}"]), AuditConfig(workers=1), cache=folder).manifest


@pytest.fixture(scope="session")
def parted(audited: pd.DataFrame) -> pd.DataFrame:
    """The manifest of the drawn heads, split by groups."""
    from brainsift.datasets.split import SplitConfig, split

    return split(audited, SplitConfig(folds=4, validation_share=0.3))


@pytest.fixture(scope="session")
def small_run(parted: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    """The bundle of that network."""
    from brainsift.deployment.export import export_run

    return export_run(small_run, small_run.parent / "bundle").folder


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
