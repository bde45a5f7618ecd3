"""The annotators' loop in OHIF over the embedded store, and what must not be lost on the way."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotation import (
    FIRST,
    FRAMES,
    SECOND,
    disc_points,
    forget_labels,
    wait_for_drawn,
    walk_through,
)
from app_server import Server
from playwright.sync_api import BrowserContext, Page
from viewer_page import (
    browser_context,
    busy_factor,
    drag_point,
    native_points,
    open_study,
    points_of_frame,
    predict_series,
    show_frame,
    submit,
    wait_for_frame,
    wait_for_points,
    wait_for_words,
)

from monai_tavr.keypoints import TAVR11

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_NEXT_FRAME_MS = 150  # on an idle machine


@pytest.fixture(scope="module")
def browser(annotating: Server, problems: list[str]) -> Iterator[BrowserContext]:
    forget_labels(annotating.client)
    with browser_context(annotating.url, problems) as context:
        yield context


@pytest.fixture(scope="module")
def page(browser: BrowserContext, annotating: Server) -> Page:
    """The second patient's cine in the mode, opened from the list."""
    opened = browser.new_page()
    open_study(opened, annotating.url, "SECOND")
    return opened


def address(server: Server, sop: str, frame: int) -> str:
    return f"{server.url}/ohif/tavr?StudyInstanceUIDs={sop.rsplit('.', 2)[0]}&initialSOPInstanceUID={sop}#frame={frame}"


def there(sop: str, frame: int) -> dict[str, tuple[float, float]]:
    return {name: place for name, place in disc_points(sop, frame).items() if place is not None}


def test_the_whole_loop(page: Page, annotating: Server, screenshots: Path) -> None:
    """Next sample lies in another study: OHIF goes there, in the same mode."""
    walk_through(page, annotating.client, picture=lambda name: page.screenshot(path=screenshots / f"ohif-{name}.png"))
    assert f"StudyInstanceUIDs={FIRST.rsplit('.', 2)[0]}" in page.url


def test_a_point_is_moved_where_it_is_seen_however_the_picture_is_turned(page: Page) -> None:
    """Zoom, pan, rotation and flip of the viewport."""
    wait_for_frame(page, FIRST, 1)
    before = native_points(page)
    page.evaluate(
        """() => {
          const viewport = window.tavr.activeViewport();
          viewport.setCamera({flipHorizontal: true});
          viewport.setViewPresentation({rotation: 90, zoom: 1.3, pan: [20, -15]});
          viewport.render();
        }"""
    )
    page.wait_for_function("() => Math.abs(window.tavr.activeViewport().getZoom() - 1.3) < 0.01")
    wait_for_points(page, before)
    goal = (before["CD"][0] + 20, before["CD"][1] + 8)
    drag_point(page, "CD", goal)
    wait_for_points(page, {**before, "CD": goal})
    page.keyboard.press("Control+z")
    wait_for_points(page, before)
    page.keyboard.press(" ")  # OHIF's key: reset view


def test_other_tools_keep_the_mouse_where_no_point_is(page: Page) -> None:
    """Window/level by the left button, zoom by the right one: and no point is placed or moved by them."""
    page.goto(address_of(page, 1))
    wait_for_frame(page, FIRST, 1)
    before = native_points(page)
    view = "() => { const v = window.tavr.activeViewport(); return [v.getProperties().voiRange.upper, v.getZoom()]; }"
    upper, zoom = page.evaluate(view)
    free = 700, 690  # below the last row of discs
    for button in ("left", "right"):
        page.mouse.move(*free)
        page.mouse.down(button=button)
        page.mouse.move(free[0] + 30, free[1] - 30)
        page.mouse.move(free[0] + 40, free[1] - 40)
        page.mouse.up(button=button)
    page.wait_for_function(
        f"before => {{ const now = ({view})(); return now[0] !== before[0] && now[1] !== before[1]; }}", arg=[upper, zoom]
    )
    wait_for_points(page, before)


def address_of(page: Page, frame: int) -> str:
    return f"{page.url.split('#')[0]}#frame={frame}"


def test_the_next_frames_points_are_there_at_once(page: Page) -> None:
    """From the moment that a cached frame's picture is drawn until its points stand on it; and from its request."""
    predict_series(page, FRAMES)
    for frame in range(FRAMES):
        show_frame(page, frame)
    times = page.evaluate(
        """async () => {
          const {session} = window.tavr;
          const {Events} = window.cornerstone.Enums;
          const change = frame => new Promise(done => {
            const asked = performance.now();
            let up = null;
            const check = () => {
              const layer = document.querySelector('[data-tavr-frame]');
              const all = layer.querySelectorAll('[data-tavr-point]').length === session.marks(frame).length;
              if (up === null || layer.dataset.tavrFrame !== String(frame) || !all) return;
              observer.disconnect();
              document.removeEventListener(Events.IMAGE_RENDERED, rendered, true);
              done([performance.now() - up, performance.now() - asked]);
            };
            const rendered = () => {
              const shown = window.tavr.activeViewport().getCornerstoneImage().imageId;
              if (shown.endsWith(`/frames/${frame + 1}`)) up ??= performance.now();
              check();
            };
            const observer = new MutationObserver(check);
            observer.observe(document.querySelector('svg.svg-layer'), {subtree: true, childList: true, attributes: true});
            document.addEventListener(Events.IMAGE_RENDERED, rendered, true);
            session.show(frame);
          });
          const times = [];
          for (let i = 1; i <= 12; i++) times.push(await change(i % 4));
          return times;
        }"""
    )
    after_picture, after_request = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"points of the next frame, median: {after_picture:.0f} ms after its picture, {after_request:.0f} ms after its request")
    assert after_picture < _NEXT_FRAME_MS * busy_factor()


def test_frame_changes_leave_nothing_behind(page: Page) -> None:
    """The drawing holds the marks of one frame, and cornerstone keeps no annotation for any."""
    for frame in (0, 3, 1, 2, 0):
        show_frame(page, frame)
    wait_for_drawn(page, set(there(FIRST, 0)))
    assert page.locator("svg.svg-layer > g").count() == 1
    assert page.evaluate("() => window.cornerstoneTools.annotation.state.getAllAnnotations().length") == 0


def test_a_draft_survives_a_closed_tab(page: Page, browser: BrowserContext, annotating: Server) -> None:
    show_frame(page, 2)
    goal = (120.0, 300.0)
    drag_point(page, "CP", goal)
    page.close()
    again = browser.new_page()
    again.goto(address(annotating, FIRST, 2))
    wait_for_frame(again, FIRST, 2)
    wait_for_words(again, "was restored")
    wait_for_points(again, {**there(FIRST, 2), "CP": goal})
    answer = annotating.client.get(f"/tavr/labels/{FIRST}").json()
    assert [entry["frame"] for entry in answer["label"]["frames"]] == [1]  # a draft is nobody else's business


@pytest.fixture
def hesitant(browser: BrowserContext) -> Iterator[Page]:
    """A tab whose pictures drop every frame that they are asked for until ``ready``, as OHIF does while it sets up its stack."""
    opened = browser.new_page()
    opened.add_init_script(
        """{
          let cornerstone;
          Object.defineProperty(window, 'cornerstone', {configurable: true, get: () => cornerstone, set: value => {
            cornerstone = value;
            const {prototype} = value.StackViewport;
            const {setImageIdIndex} = prototype;
            window.dropped = 0;
            prototype.setImageIdIndex = function (index) {
              if (window.ready) return setImageIdIndex.call(this, index);
              window.dropped += 1;
              return Promise.resolve();
            };
          }});
        }"""
    )
    yield opened
    opened.close()


def test_the_frame_of_an_address_comes_up_on_the_slowest_machine(hesitant: Page, annotating: Server) -> None:
    """OHIF takes the frame a minute after it was asked for it; then it sets its stack anew, and begins with the first frame."""
    hesitant.goto(address(annotating, FIRST, 2))
    wait_for_frame(hesitant, FIRST, 0)
    hesitant.wait_for_function("() => window.dropped > 0")
    before = hesitant.evaluate("() => { const {now} = Date; Date.now = () => now() + 60000; return window.dropped; }")
    hesitant.wait_for_function("before => window.dropped > before + 2", arg=before)
    hesitant.evaluate("() => (window.ready = true)")
    wait_for_frame(hesitant, FIRST, 2)
    hesitant.evaluate(
        """async () => {
          window.ready = false;
          const viewport = window.tavr.activeViewport();
          await viewport.setStack(viewport.getImageIds(), 0);
        }"""
    )
    wait_for_frame(hesitant, FIRST, 0)
    hesitant.evaluate("() => (window.ready = true)")
    wait_for_frame(hesitant, FIRST, 2)
    assert hesitant.url == address(annotating, FIRST, 2)
    hesitant.keyboard.press("Home")  # from now on the annotator decides
    wait_for_frame(hesitant, FIRST, 0)
    hesitant.wait_for_function("() => location.hash === '#frame=0'")


@pytest.fixture
def second(browser: BrowserContext, annotating: Server) -> Iterator[Page]:
    """A tab on the second patient's first frame."""
    opened = browser.new_page()
    opened.goto(address(annotating, SECOND, 0))
    wait_for_frame(opened, SECOND, 0)
    yield opened
    opened.close()


def test_a_conflict_is_said_and_nobody_is_overwritten_unseen(second: Page, annotating: Server, screenshots: Path) -> None:
    """Somebody else submits the same frame, and another one, while this annotator works on it."""
    second.keyboard.press("f")
    wait_for_drawn(second, set(there(SECOND, 0)))
    mine = (100.0, 330.0)
    drag_point(second, "CP", mine)
    image = annotating.client.get(f"/tavr/images/{SECOND}").json()["image"]
    theirs = {"x": 60.0, "y": 70.0, "state": "visible", "source": "annotator"}
    began = annotating.client.get(f"/tavr/labels/{SECOND}").json()["version"]
    frames = [{"frame": frame, "points": {"AA1": theirs}} for frame in (0, 3)]
    label = {"schema": "monai-tavr/keypoints/1", "keypoints": "TAVR11", "image": image, "frames": frames}
    answer = annotating.client.put(
        f"/tavr/labels/{SECOND}", json=label, headers={"If-Match": f'"{began}"', "X-Annotator": "Barbara"}
    )
    assert answer.status_code == 200, answer.text
    second.locator("[data-tavr=submit]:enabled").click()
    second.locator(".tavr-conflict").get_by_text("Barbara").wait_for()
    second.screenshot(path=screenshots / "ohif-conflict.png")
    second.locator("[data-tavr=all-mine]").click()
    submit(second)
    answer = annotating.client.get(f"/tavr/labels/{SECOND}").json()
    assert (points_of_frame(answer["label"], 0)["CP"]["x"], points_of_frame(answer["label"], 0)["CP"]["y"]) == pytest.approx(
        mine, abs=0.5
    )
    assert points_of_frame(answer["label"], 3)["AA1"]["x"] == 60.0  # their other frame is kept
    kept = annotating.client.get(f"/tavr/labels/{SECOND}/versions/{began + 1}").json()
    assert points_of_frame(kept, 0)["AA1"]["x"] == 60.0


def test_a_frame_is_labelled_by_keys_alone(second: Page, annotating: Server) -> None:
    """Every point placed, moved or marked absent, the frame submitted: no mouse."""
    press = second.keyboard.press
    press("PageDown")  # to the last frame of four
    wait_for_frame(second, frame=3)
    press(",")
    wait_for_frame(second, frame=2)
    press("1")  # the first point of the first group: nothing is there yet
    press("v")
    wait_for_drawn(second, {"AA1"})
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp"):
        press(key)
    for name in ("AA2", "STJ1", "STJ2"):
        press("]")
        assert second.evaluate("() => window.tavr.session.edit.target") == name
        press("a")
    press("2")
    press("Shift+A")
    press("3")
    press("Shift+A")
    submit(second)
    points = points_of_frame(annotating.client.get(f"/tavr/labels/{SECOND}").json()["label"], 2)
    assert {name: point["state"] for name, point in points.items()} == {
        n: "visible" if n == "AA1" else "absent" for n in TAVR11.names
    }
    # where it is in the nearest labelled frame, 3, and three keys from there
    assert (points["AA1"]["x"], points["AA1"]["y"]) == pytest.approx((60 + 2, 70 - 5), abs=0.5)
    wait_for_points(second, {"AA1": (62, 65)})


def test_nothing_went_wrong_in_the_pages(problems: list[str]) -> None:
    """No exception, no failed request but the conflict, and no request to another machine in all of the above."""
    assert [p for p in problems if "409" not in p] == []
