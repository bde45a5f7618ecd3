"""The plain page in Chromium without WebGL: the whole loop, and what a picture needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from annotation import FIRST, SECOND, disc_points, forget_labels, wait_for_drawn, walk_through
from app_server import MARK_RADIUS, Server
from playwright.sync_api import Page
from viewer_page import (
    drag_point,
    drawn_points,
    open_plain,
    screen_pixels,
    show_frame,
    viewer_page,
    wait_for_frame,
    wait_for_points,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(annotating: Server, problems: list[str]) -> Iterator[Page]:
    """The first patient's cine, on the plain page."""
    forget_labels(annotating.client)
    with viewer_page(annotating.url, problems, webgl=False) as opened:
        open_plain(opened, annotating.url, FIRST)
        yield opened


def test_ohif_leads_here_where_it_cannot_draw(page: Page, annotating: Server, screenshots: Path) -> None:
    page.goto(f"{annotating.url}/ohif/tavr?StudyInstanceUIDs=2.25.4001&initialSOPInstanceUID={FIRST}#frame=2")
    page.wait_for_url(re.compile("/tavr/plain/"))
    wait_for_frame(page, FIRST, 2)
    assert "WebGL" in page.locator("#notice").inner_text()
    page.screenshot(path=screenshots / "plain-notice.png")
    page.wait_for_url(re.compile(rf"/tavr/plain/\?image={FIRST}&frame=2$"))


def test_the_whole_loop(page: Page, annotating: Server, screenshots: Path) -> None:
    open_plain(page, annotating.url, SECOND)
    walk_through(page, annotating.client, picture=lambda name: page.screenshot(path=screenshots / f"plain-{name}.png"))


def test_points_lie_on_what_the_picture_shows(page: Page) -> None:
    """Each ring's centre is compared with the centre of the white disc on the screen, in a zoomed and shifted picture too."""
    show_frame(page, 3)
    page.keyboard.press("f")
    wait_for_drawn(page, {n for n, p in disc_points(FIRST, 3).items() if p is not None})
    page.mouse.move(520, 300)
    for change in (lambda: None, lambda: _zoom(page)):
        change()
        pixels = screen_pixels(page)
        drawn = drawn_points(page)
        scale = page.evaluate("() => window.tavr.view.stage.scale")
        half = round(2 * MARK_RADIUS * scale)
        inside = {n: p for n, p in drawn.items() if 190 + half < p["x"] < 920 - half and 70 + half < p["y"] < 780 - half}
        assert len(inside) >= 2
        for name, point in inside.items():
            x, y = round(point["x"]), round(point["y"])
            white = np.clip(pixels[y - half : y + half + 1, x - half : x + half + 1] - 60, 0, None)
            rows, columns = np.mgrid[y - half : y + half + 1, x - half : x + half + 1] + 0.5  # pixel centres, in page pixels
            centre = (white * columns).sum() / white.sum(), (white * rows).sum() / white.sum()
            assert np.hypot(centre[0] - point["x"], centre[1] - point["y"]) < 0.75, (name, centre, point)


def _zoom(page: Page) -> None:
    before = page.evaluate("() => window.tavr.view.stage.scale")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.mouse.down(button="middle")
    page.mouse.move(560, 320)
    page.mouse.up(button="middle")
    page.wait_for_function("before => window.tavr.view.stage.scale > 1.5 * before", arg=before)


def test_the_mouse_does_what_it_does_in_ohif(page: Page) -> None:
    """Grey levels by the left button where no point is, zoom by the right one, frames by the wheel."""
    page.keyboard.press(" ")
    show_frame(page, 0)
    stage = "() => { const {contrast, brightness, scale} = window.tavr.view.stage; return [contrast, brightness, scale]; }"
    assert page.evaluate(stage)[:2] == [1, 1]
    free = 930, 690  # below the last row of discs
    page.mouse.move(*free)
    page.mouse.down()
    page.mouse.move(free[0] - 60, free[1] - 30)
    page.mouse.up()
    contrast, brightness, scale = page.evaluate(stage)
    assert contrast == pytest.approx(np.exp(-60 / 300))
    assert brightness == pytest.approx(np.exp(30 / 300))
    page.mouse.move(*free)
    page.mouse.down(button="right")
    page.mouse.move(free[0], free[1] + 100)
    page.mouse.up(button="right")
    assert page.evaluate(stage)[2] == pytest.approx(scale * np.exp(100 / 200))
    page.mouse.wheel(0, 200)
    wait_for_frame(page, frame=2)
    page.keyboard.press(" ")
    assert page.evaluate(stage) == [1, 1, scale]
    assert page.evaluate("() => window.tavr.session.document.undoable") is None


def test_the_cine_plays_and_stops(page: Page) -> None:
    show_frame(page, 0)
    page.evaluate(
        """() => {
          window.seen = new Set();
          window.stopSeeing = window.tavr.view.onView(() => window.seen.add(window.tavr.view.frame));
        }"""
    )
    page.keyboard.press("c")
    page.wait_for_function("() => window.seen.size === 4")
    page.locator("[data-tool=cine][aria-pressed=true]").click()
    assert page.locator("[data-tool=cine]").get_attribute("aria-pressed") == "false"
    page.evaluate("() => window.stopSeeing()")


def test_a_right_click_takes_a_point_away_and_a_click_puts_it_back(page: Page) -> None:
    open_plain(page, page.url.split("/tavr/")[0], SECOND)
    page.keyboard.press("f")
    expected = {n: p for n, p in disc_points(SECOND, 0).items() if p is not None}
    wait_for_drawn(page, set(expected))
    point = drawn_points(page)["AA2"]
    page.mouse.click(point["x"], point["y"], button="right")
    wait_for_drawn(page, set(expected) - {"AA2"})
    page.mouse.click(point["x"] + 40, point["y"] + 30)  # armed by its removal
    wait_for_drawn(page, set(expected))
    assert drawn_points(page)["AA2"]["look"] == "confirmed"
    drag_point(page, "AA2", expected["AA2"])
    wait_for_points(page, expected)


def test_pictures_that_cannot_be_had_are_said_in_words(page: Page) -> None:
    page.route("**/tavr/frames/**", lambda route: route.fulfill(status=422, json={"detail": "frame 3 is damaged"}))
    page.reload()
    page.locator("#trouble").get_by_text("frame 3 is damaged").wait_for()
    page.unroute("**/tavr/frames/**")


def test_nothing_went_wrong_in_the_page(problems: list[str]) -> None:
    assert [p for p in problems if "422" not in p] == []
