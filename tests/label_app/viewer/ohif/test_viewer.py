"""The viewer in headless Chromium: what is drawn, where, and whether the picture below it is the right one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from annotation import forget_labels, wait_for_drawn
from app_server import MARK_RADIUS, MARKS_SOP, MARKS_STUDY, STUDY, Server, Studies, mark_points
from playwright.sync_api import Page
from viewer_page import (
    drawn_points,
    open_study,
    predict_series,
    screen_pixels,
    show_frame,
    viewer_page,
    wait_for_frame,
)

from monai_tavr.dicom.writer import SYNTAXES
from monai_tavr.keypoints import TAVR11

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(server: Server, problems: list[str]) -> Iterator[Page]:
    """The cine of white discs in the mode, before anything was predicted. Other modules may have labelled it."""
    forget_labels(server.client)
    with viewer_page(server.url, problems) as opened:
        open_study(opened, server.url, "MARKS")
        yield opened


def test_the_panel_lists_the_schema_of_the_server(page: Page, screenshots: Path) -> None:
    page.screenshot(path=screenshots / "opened.png")
    assert page.locator(".tavr-frame").inner_text() == "Frame 1 / 4"
    assert page.locator(".tavr-group h3").all_inner_texts() == ["Aortic root", "Delivery catheter", "Pigtail and valve frame"]
    rows = page.locator(".tavr-groups .tavr-point")
    assert [r.get_attribute("data-point") for r in rows.all()] == list(TAVR11.names)
    assert {r.get_attribute("data-state") for r in rows.all()} == {"unlabelled"}
    assert drawn_points(page) == {}


def test_predict_draws_every_point_in_its_groups_colour(page: Page, screenshots: Path) -> None:
    predict_series(page, 4)
    show_frame(page, 2)
    wait_for_drawn(page, set(TAVR11.names))
    page.screenshot(path=screenshots / "predicted.png")
    drawn = drawn_points(page)
    assert set(drawn) == set(TAVR11.names)
    for name, point in drawn.items():
        assert point["color"] == TAVR11.color_of(name)
        assert point["look"] == "suggested"


@pytest.mark.parametrize("frame", [0, 3])
def test_points_lie_on_what_the_picture_shows(page: Page, frame: int) -> None:
    """Not by the viewer's own mapping: each ring's centre is compared with the centre of the white disc on the screen."""
    show_frame(page, frame)
    expected = {n for n, p in mark_points(frame).items() if p is not None}
    wait_for_drawn(page, expected)
    drawn = drawn_points(page)
    assert set(drawn) == expected
    states = {n: "visible" if n in expected else "absent" for n in TAVR11.names}
    page.wait_for_function(  # the panel is drawn with the next frame of the screen
        """states => Object.entries(states).every(([name, state]) =>
          document.querySelector(`.tavr-groups [data-point=${name}]`).dataset.state === state)""",
        arg=states,
    )
    pixels = screen_pixels(page)
    for name, point in drawn.items():
        x, y, half = round(point["x"]), round(point["y"]), 2 * MARK_RADIUS
        white = np.clip(pixels[y - half : y + half + 1, x - half : x + half + 1] - 60, 0, None)
        rows, columns = np.mgrid[y - half : y + half + 1, x - half : x + half + 1] + 0.5  # pixel centres, in page pixels
        centre = (white * columns).sum() / white.sum(), (white * rows).sum() / white.sum()
        assert np.hypot(centre[0] - point["x"], centre[1] - point["y"]) < 0.75, (name, centre, point)


def test_the_way_to_world_and_back_ends_where_it_began(page: Page) -> None:
    x, y = page.evaluate(
        """async () => {
          const {toWorld, toPixel} = await import('/tavr/viewer/ohif/viewport.js');
          const id = window.tavr.activeViewport().getCurrentImageId();
          return toPixel(id, toWorld(id, 12.25, 480.5));
        }"""
    )
    assert (x, y) == pytest.approx((12.25, 480.5), abs=1e-3)


def test_the_cine_plays(page: Page) -> None:
    show_frame(page, 0)
    page.evaluate(
        """() => {
          const {session} = window.tavr;
          window.seen = new Set();
          window.stopSeeing = session.onChange(() => window.seen.add(session.frame));
        }"""
    )
    page.locator("[data-cy=Cine]").click()
    page.locator("[data-cy=cine-player-play-pause]").click()
    page.wait_for_function("() => window.seen.size === 4")
    page.locator("[data-cy=cine-player-close]").click()
    page.evaluate("() => window.stopSeeing()")


def test_keys_move_through_the_frames(page: Page) -> None:
    show_frame(page, 0)
    for key, frame in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 4), ("Home", 1)):
        page.keyboard.press(key)
        wait_for_frame(page, frame=frame - 1)


def test_the_picture_needs_no_mouse(page: Page) -> None:
    """Zoom, pan, contrast and brightness by keys; space puts all back."""
    state = """() => {
      const viewport = window.tavr.activeViewport();
      const {lower, upper} = viewport.getProperties().voiRange;
      return [viewport.getZoom(), viewport.getPan()[0], upper - lower, (upper + lower) / 2];
    }"""
    page.evaluate("() => document.activeElement?.blur()")
    zoom, pan, width, level = page.evaluate(state)
    for key in ("+", "Control+ArrowLeft", "k", "b"):
        page.keyboard.press(key)
    changed = page.evaluate(state)
    assert changed[0] == pytest.approx(1.25 * zoom)
    assert changed[1] == pytest.approx(pan + 40, abs=1)
    assert changed[2] == pytest.approx(width / 1.15)
    assert changed[3] == pytest.approx(level - 0.15 * width / 1.15)
    page.keyboard.press(" ")
    page.wait_for_function(f"zoom => ({state})()[0] === zoom", arg=zoom)


def test_prediction_begins_where_the_reader_looks(page: Page) -> None:
    portions, unsure = page.evaluate(
        """async () => {
          const {portions, isUncertain} = await import('/tavr/viewer/document/points.js');
          const points = [[0.74, 'visible'], [0.76, 'visible'], [0.26, 'absent'], [0.24, 'absent'], [undefined, 'visible']];
          return [portions(20, 9, 8), points.map(([score, state]) => isUncertain({score, state}, 0.75))];
        }"""
    )
    assert portions == [list(range(8, 16)), list(range(16, 20)), list(range(8))]
    assert unsure == [True, False, True, False, False]


def test_ohif_shows_the_number_of_the_frame(page: Page) -> None:
    show_frame(page, 2)
    page.get_by_text("(3/4)").wait_for()
    page.get_by_text("Loading...").wait_for(state="hidden")


def test_chromium_decodes_every_syntax_to_what_pydicom_reads(page: Page, server: Server, studies: Studies) -> None:
    page.goto(f"{server.url}/ohif/tavr?StudyInstanceUIDs={STUDY}")
    page.wait_for_function("() => window.tavr?.session.image")
    for number, name in enumerate(SYNTAXES, start=1):
        expected = studies.frames[f"{STUDY}.{number}.1"]
        path = f"/dicomweb/studies/{STUDY}/series/{STUDY}.{number}"
        values = page.evaluate(
            """async ([path, sop]) => {
              const metadata = await (await fetch(`${path}/metadata`)).json();
              const id = `wadors:${location.origin}${path}/instances/${sop}/frames/3`;
              window.cornerstone.metaData.get('instance', id) ??
                window.cornerstoneDICOMImageLoader?.wadors.metaDataManager.add(id, metadata[0]);
              return Array.from((await window.cornerstone.imageLoader.loadAndCacheImage(id)).getPixelData());
            }""",
            [path, f"{STUDY}.{number}.1"],
        )
        found = np.array(values).reshape(expected.shape[1:])
        if name == "jpeg-baseline":  # decoders of lossy JPEG differ by their rounding
            assert np.abs(found - expected[2].astype(int)).max() <= 2
        else:
            np.testing.assert_array_equal(found, expected[2], err_msg=name)


def test_an_address_may_name_an_image_that_is_not_there(page: Page, server: Server) -> None:
    """The study is shown, and the address follows from the annotator's first key on."""
    page.goto(f"{server.url}/ohif/tavr?StudyInstanceUIDs={MARKS_STUDY}&initialSOPInstanceUID=2.25.1#frame=3")
    wait_for_frame(page, MARKS_SOP)
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(rf"initialSOPInstanceUID={MARKS_SOP}#frame=1$"))


def test_nothing_went_wrong_in_the_page(problems: list[str], page: Page) -> None:
    """No exception, no failed request, and no request to another machine in all of the above."""
    assert problems == []


@pytest.fixture
def reopened(page: Page, server: Server) -> Page:
    page.goto(f"{server.url}/ohif/tavr?StudyInstanceUIDs={MARKS_STUDY}")
    page.locator("[data-tavr=predict]:enabled").wait_for()
    return page


def test_errors_are_said_in_words(reopened: Page, screenshots: Path) -> None:
    words = "the model cannot be used: models/model.pt is missing"
    reopened.route("**/infer/**", lambda route: route.fulfill(status=409, json={"detail": words}))
    reopened.locator("[data-tavr=predict]").click()
    reopened.locator(".tavr-note.error").get_by_text(words).wait_for()
    reopened.screenshot(path=screenshots / "error.png")
    reopened.unroute("**/infer/**")
    reopened.route("**/infer/**", lambda route: route.abort())
    reopened.locator("[data-tavr=predict]").click()
    reopened.locator(".tavr-note.error").get_by_text("The server does not answer. Is it still running?").wait_for()
    reopened.unroute("**/infer/**")


def test_a_prediction_can_be_stopped(reopened: Page) -> None:
    reopened.route("**/infer/**", lambda route: None)  # never answered
    reopened.locator("[data-tavr=predict]").click()
    reopened.locator(".tavr-progress").get_by_text("0 of 4 frames").wait_for()
    reopened.locator("[data-tavr=stop]").click()
    reopened.get_by_text("Stopped after 0 of 4 frames.").wait_for()
    reopened.unroute("**/infer/**")
