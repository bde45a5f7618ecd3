"""The viewer in headless Chromium, OHIF and the plain page alike: how to open it, to look at it, and to work in it."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

__all__ = [
    "browser_context",
    "busy_factor",
    "drag_point",
    "drawn_points",
    "native_points",
    "open_plain",
    "open_study",
    "points_of_frame",
    "predict_series",
    "screen_pixels",
    "screenshot_folder",
    "show_frame",
    "submit",
    "to_page",
    "viewer_page",
    "wait_for_frame",
    "wait_for_points",
    "wait_for_words",
]

_QUIET = "--headless --no-sandbox --disable-background-networking --disable-component-update --disable-sync --no-first-run"
_SOFTWARE_GL = "--use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
_NO_WEBGL = "--disable-gpu --disable-3d-apis"
_PATIENCE = 120_000  # ms: continuous integration has two cores and no graphics card
# OHIF's own, on every page
_KNOWN_NOISE = re.compile(r"ResizeObserver|Ignoring resize|React does not recognize|Warning:|GPU stall|WebGL")
_BEFORE_THE_FIRST_TRAINING = re.compile(r"/train/(\?.*)?$")  # 404, as MONAI Label answers


@contextmanager
def browser_context(url: str, problems: list[str], *, webgl: bool = True) -> Iterator[BrowserContext]:
    """A browser whose pages are 1280 x 800. Errors, failed requests and requests to other machines are noted in ``problems``."""
    flags = f"{_QUIET} {_SOFTWARE_GL if webgl else _NO_WEBGL}".split()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        try:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.set_default_timeout(_PATIENCE)
            context.on("page", lambda page: _listen(page, url, problems))
            yield context
        finally:
            browser.close()


@contextmanager
def viewer_page(url: str, problems: list[str], *, webgl: bool = True) -> Iterator[Page]:
    """One page of such a browser."""
    with browser_context(url, problems, webgl=webgl) as context:
        yield context.new_page()


def _listen(page: Page, url: str, problems: list[str]) -> None:
    def note_console(message: Any) -> None:
        address = (message.location or {}).get("url", "")
        if message.type == "error" and not _KNOWN_NOISE.search(message.text) and not _BEFORE_THE_FIRST_TRAINING.search(address):
            problems.append(message.text)

    def note_response(response: Any) -> None:
        if response.status >= 400 and not (response.status == 404 and _BEFORE_THE_FIRST_TRAINING.search(response.url)):
            problems.append(f"HTTP {response.status} {response.url}")

    page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
    page.on("console", note_console)
    page.on("response", note_response)
    page.on("request", lambda r: None if r.url.startswith((url, "blob:", "data:")) else problems.append(f"asked {r.url}"))


def screenshot_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go: TAVR_SCREENSHOTS, or pytest's base folder."""
    named = os.environ.get("TAVR_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_study(page: Page, url: str, patient: str) -> None:
    """From OHIF's study list into the mode, by clicks, until the first frame is drawn."""
    page.goto(f"{url}/ohif/")
    page.get_by_text(patient).first.click()
    page.get_by_role("link", name="TAVR keypoints").or_(page.get_by_role("button", name="TAVR keypoints")).first.click()
    wait_for_frame(page)


def open_plain(page: Page, url: str, image: str) -> None:
    """The plain page, and an image by a click on its list."""
    page.goto(f"{url}/tavr/plain/")
    page.locator(f"[data-image='{image}']").click()
    wait_for_frame(page)


def wait_for_frame(page: Page, image: str | None = None, frame: int | None = None) -> None:
    """Until the document of an image is there, and drawing and panel are those of a frame: of those named, or of any."""
    page.wait_for_function(
        """([image, frame]) => {
          const session = window.tavr?.session;
          const layer = document.querySelector('[data-tavr-frame]');
          return session?.document && (image === null || session.image.id === image)
            && (frame === null || session.frame === frame) && layer?.dataset.tavrFrame === String(session.frame)
            && document.querySelector('.tavr-frame')?.textContent.startsWith(`Frame ${session.frame + 1} /`);
        }""",
        arg=[image, frame],
    )


def wait_for_words(page: Page, words: str) -> None:
    """Until the panel says them."""
    page.locator(".tavr-panel").get_by_text(words).first.wait_for()


def predict_series(page: Page, frames: int) -> None:
    """Press the button and wait for the panel to say that it is done."""
    page.locator("[data-tavr=predict]:enabled").click()
    wait_for_words(page, f"{frames} frames predicted.")


def show_frame(page: Page, frame: int) -> None:
    """Show a frame, 0-based, by the panel's timeline."""
    page.locator(f".tavr-timeline i[data-frame='{frame}']").first.click()
    wait_for_frame(page, frame=frame)


def submit(page: Page) -> None:
    """Submit by its key and wait until the document has the next version."""
    before = page.evaluate("() => window.tavr.session.document.version")
    page.keyboard.press("Control+s")
    page.wait_for_function("before => window.tavr.session.document.version === before + 1", arg=before)
    wait_for_words(page, f"version {before + 1} of this label")


def drawn_points(page: Page) -> dict[str, dict[str, Any]]:
    """Name -> {x, y: centre of its ring in page pixels, color, look} of the points drawn on screen."""
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('[data-tavr-point]')].map(mark => {
          const box = mark.querySelector('[data-part=centre]').getBoundingClientRect();
          const place = {x: box.x + box.width / 2, y: box.y + box.height / 2};
          return [mark.dataset.tavrPoint, {...place, color: mark.getAttribute('color'), look: mark.dataset.look}];
        }))"""
    )


def native_points(page: Page) -> dict[str, tuple[float, float]]:
    """Name -> (x, y) of the points drawn on screen, in native pixels by the viewer's own mapping."""
    drawn = {name: (point["x"], point["y"]) for name, point in drawn_points(page).items()}
    return {name: (x, y) for name, (x, y) in _mapped(page, drawn, "toImage").items()}


def wait_for_points(page: Page, expected: Mapping[str, tuple[float, float]], *, within: float = 0.5) -> None:
    """Until these points, and no others, are drawn no further than so many native pixels from where they are expected."""
    deadline = time.monotonic() + _PATIENCE / 1000
    while True:
        found = native_points(page)
        off = {n: float(np.hypot(found[n][0] - x, found[n][1] - y)) for n, (x, y) in expected.items() if n in found}
        if set(found) == set(expected) and max(off.values(), default=0.0) <= within:
            return
        assert time.monotonic() < deadline, (found, dict(expected))
        page.evaluate("() => new Promise(requestAnimationFrame)")


def busy_factor() -> float:
    """How many times longer than on an idle machine things may take: from what this one has to do besides."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def to_page(page: Page, points: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Points of the frame on screen, from native pixels to page pixels and by the viewer's own mapping."""
    return {name: (x, y) for name, (x, y) in _mapped(page, points, "toScreen").items()}


def _mapped(page: Page, points: dict[str, tuple[float, float]], way: str) -> dict[str, list[float]]:
    return page.evaluate(
        """async ([points, way]) => {
          const {activeViewport, view} = window.tavr;
          const viewport = activeViewport?.();
          const {mapping} = await import('/tavr/viewer/ohif/viewport.js');
          const map = viewport ? mapping(viewport) : view.stage;
          const {left, top} = (viewport ? viewport.element : view.stage.node).getBoundingClientRect();
          const place = ([x, y]) => {
            if (way === 'toImage') return map.toImage(x - left, y - top);
            const [sx, sy] = map.toScreen(x, y);
            return [sx + left, sy + top];
          };
          return Object.fromEntries(Object.entries(points).map(([name, point]) => [name, place(point)]));
        }""",
        [points, way],
    )


def drag_point(page: Page, name: str, to: tuple[float, float]) -> None:
    """Drag a point of the frame on screen to native pixels, as a hand does: in steps, and not grabbed at its very centre."""
    start = drawn_points(page)[name]
    ((end_x, end_y),) = to_page(page, {name: to}).values()
    page.mouse.move(start["x"] + 3, start["y"] - 2)
    page.mouse.down()
    page.mouse.move((start["x"] + end_x) / 2, (start["y"] + end_y) / 2)
    page.mouse.move(end_x + 3, end_y - 2)
    page.mouse.up()


def points_of_frame(label: dict[str, Any], frame: int) -> dict[str, dict[str, Any]]:
    """The points of a frame of a label JSON."""
    (points,) = (entry["points"] for entry in label["frames"] if entry["frame"] == frame)
    return points


def screen_pixels(page: Page) -> np.ndarray:
    """(H, W) grey levels of the page as seen, without the points drawn on it."""
    hiding = page.add_style_tag(content="[data-tavr-frame], .viewport-overlay { visibility: hidden !important }")
    picture = Image.open(io.BytesIO(page.screenshot()))
    hiding.evaluate("style => style.remove()")
    return np.asarray(picture.convert("L"), np.float32)
