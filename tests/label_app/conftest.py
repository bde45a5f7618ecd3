"""One studies folder and one server for all tests of the app: starting MONAI Label takes long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from annotation import annotation_server
from app_server import Server, Studies, free_port, make_studies, start_server
from viewer_page import screenshot_folder

# the tests of the shipped model exist as soon as the model does
_WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "model.pt"
collect_ignore = [] if _WEIGHTS.is_file() else ["test_shipped_model.py", "test_cine_actions.py"]


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Studies:
    return make_studies(tmp_path_factory.mktemp("label_app"))


@pytest.fixture(scope="session")
def server(studies: Studies, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app with the test's own predictor, MONAI Label loaded."""
    port = free_port()
    script = Path(__file__).with_name("injected_server.py")
    command = [str(script), str(studies.root), str(studies.labels), str(port)]
    with start_server(command, port, tmp_path_factory.mktemp("server")) as running:
        assert running.client.get("/info/").status_code == 200, running.log.read_text()  # answers once MONAI Label is there
        yield running


@pytest.fixture(scope="session")
def annotating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app over the annotators' studies; modules begin with ``annotation.forget_labels``."""
    with annotation_server(tmp_path_factory.mktemp("annotating")) as running:
        yield running


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return screenshot_folder(tmp_path_factory)


@pytest.fixture(scope="module")
def problems() -> list[str]:
    """What went wrong in the pages of a module: see ``viewer_page``."""
    return []
