"""What the loop saves: actions of an annotator, counted in the browser, against placing every point by hand.

An action is a press of a key or of the pointer (a drag is one), a choice in a list, a turn of the wheel:
see viewer/session/actions.js.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from annotation import FIRST, SECOND, assert_same, disc_points, forget_labels, wait_for_drawn
from app_server import Server
from playwright.sync_api import Page
from viewer_page import (
    drag_point,
    open_plain,
    show_frame,
    submit,
    to_page,
    viewer_page,
    wait_for_points,
)

from monai_tavr.formats.label_json import label_from_dict
from monai_tavr.keypoints import TAVR11

pytestmark = [pytest.mark.browser, pytest.mark.slow]

POINTS = len(TAVR11.names)


def actions(page: Page) -> int:
    return int(page.evaluate("() => window.tavr.session.actions"))


@pytest.fixture
def page(annotating: Server) -> Iterator[Page]:
    forget_labels(annotating.client)
    with viewer_page(annotating.url, [], webgl=False) as opened:
        yield opened


def test_eleven_points_by_hand(page: Page, annotating: Server) -> None:
    """What it takes without a model: the next missing point is armed by itself, so one click each, and the submit."""
    open_plain(page, annotating.url, FIRST)
    show_frame(page, 3)
    places = to_page(page, {name: place for name, place in disc_points(FIRST, 3).items() if place is not None})
    began = actions(page)
    for name in TAVR11.names:
        page.mouse.click(*places[name])
    wait_for_points(page, {name: place for name, place in disc_points(FIRST, 3).items() if place is not None})
    assert actions(page) - began == POINTS
    submit(page)


def test_a_predicted_frame_takes_a_third_of_that(page: Page, annotating: Server) -> None:
    """Predicted, the one wrong point of eleven dragged, submitted."""
    open_plain(page, annotating.url, SECOND)
    show_frame(page, 1)
    expected = {name: place for name, place in disc_points(SECOND, 1).items() if place is not None}
    began = actions(page)
    page.keyboard.press("f")
    wait_for_drawn(page, set(expected))
    drag_point(page, "CM", expected["CM"])
    wait_for_points(page, expected)
    submit(page)
    used = actions(page) - began
    print(f"a predicted frame: {used} actions, by hand {POINTS} and the submit")
    assert used <= POINTS / 3
    label = label_from_dict(annotating.client.get(f"/tavr/labels/{SECOND}").json()["label"])
    points = label.frame(1)
    found = {n: (float(x), float(y)) for n, (x, y) in zip(TAVR11.names, points.xy, strict=True) if np.isfinite(x)}
    assert_same(found, expected)
