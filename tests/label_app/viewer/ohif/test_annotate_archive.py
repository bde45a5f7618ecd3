"""The annotators' loop in OHIF over a PACS. (A file of its own: a thread drives one browser at a time.)"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from annotation import FIRST, archive_server, make_annotation_studies, walk_through
from orthanc import Orthanc
from viewer_page import browser_context, drag_point, native_points, open_study, submit

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


def test_the_whole_loop_with_orthanc(orthanc: Orthanc, tmp_path: Path, screenshots: Path) -> None:
    """The same, with the images in a PACS; the label is then found there as a structured report, and the panel says so."""
    studies, answers = make_annotation_studies(tmp_path)
    for path in sorted(studies.glob("*.dcm")):
        orthanc.upload(path)
    problems: list[str] = []
    with archive_server(orthanc, answers, tmp_path) as running:
        with browser_context(running.url, problems) as context:
            page = context.new_page()
            open_study(page, running.url, "SECOND")
            walk_through(page, running.client, picture=lambda name: page.screenshot(path=screenshots / f"orthanc-{name}.png"))
            saved = page.locator(".tavr-saved")
            saved.get_by_text("Label v1 · in the PACS").wait_for()
            orthanc.stop()
            x, y = native_points(page)["CM"]
            drag_point(page, "CM", (x - 15, y))
            submit(page)
            saved.get_by_text("Label v2 · waits for the PACS").wait_for()
            orthanc.start()
            saved.get_by_text("Label v2 · in the PACS").wait_for()
            page.screenshot(path=screenshots / "orthanc-archived.png")
        assert problems == []
        reports = find_reports(orthanc.client)
    assert [report["0020000D"]["Value"] for report in reports] == [[FIRST.rsplit(".", 2)[0]]]


def find_reports(client: httpx.Client) -> list[dict[str, dict[str, list[str]]]]:
    """The structured reports of the archive, by QIDO-RS."""
    answer = client.get("/dicom-web/series", params={"Modality": "SR"})
    return [] if answer.status_code == 204 else answer.json()
