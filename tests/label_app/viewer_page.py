"""OHIF in headless Chromium, and how to look at it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

__all__ = ["drawn_points", "open_study", "predict_series", "screen_pixels", "show_frame", "to_page", "viewer_page"]

_CHROMIUM = (
    "--headless --no-sandbox --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --disable-background-networking "
    "--disable-component-update --disable-sync --no-first-run"
)
_PATIENCE = 120_000  # ms: continuous integration has two cores and no graphics card
# OHIF's own, on every page
_KNOWN_NOISE = re.compile(r"ResizeObserver|Ignoring resize|React does not recognize|Warning:|GPU stall|WebGL")


@contextmanager
def viewer_page(url: str, problems: list[str]) -> Iterator[Page]:
    """A page of 1280 x 800. Errors, failed requests and requests to other machines are noted in ``problems``."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_CHROMIUM.split())
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(_PATIENCE)
            page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
            page.on(
                "console", lambda m: problems.append(m.text) if m.type == "error" and not _KNOWN_NOISE.search(m.text) else None
            )
            page.on("response", lambda r: problems.append(f"HTTP {r.status} {r.url}") if r.status >= 400 else None)
            page.on("request", lambda r: None if r.url.startswith((url, "blob:", "data:")) else problems.append(f"asked {r.url}"))
            yield page
        finally:
            browser.close()


def open_study(page: Page, url: str, patient: str) -> None:
    """From the study list into the mode, by clicks, until the first frame is drawn."""
    page.goto(f"{url}/ohif/")
    page.get_by_text(patient).first.click()
    page.get_by_role("link", name="TAVR keypoints").or_(page.get_by_role("button", name="TAVR keypoints")).first.click()
    wait_for_frame(page)


def wait_for_frame(page: Page) -> None:
    page.wait_for_function(
        "() => window.tavr?.session.image && window.tavr.activeViewport()?.getImageData()?.scalarData?.length > 0"
    )


def predict_series(page: Page, frames: int) -> None:
    """Press the button and wait for the panel to say that it is done."""
    page.locator("[data-tavr=predict]:enabled").click()
    page.get_by_text(f"{frames} frames predicted.").wait_for()


def show_frame(page: Page, frame: int) -> None:
    """Show a frame, 0-based, by the panel's timeline."""
    page.locator(f".tavr-timeline i[data-frame='{frame}']").first.click()
    page.get_by_text(re.compile(rf"^Frame {frame + 1} / ")).wait_for()
    page.wait_for_function("f => window.tavr.activeViewport().getCurrentImageIdIndex() === f", arg=frame)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def drawn_points(page: Page) -> dict[str, dict[str, Any]]:
    """Name -> {x, y: centre of its ring in page pixels, color} of the points drawn on screen."""
    return page.evaluate(
        """() => {
          const out = {};
          for (const name of document.querySelectorAll('[data-tavr-point]')) {
            const near = (a, b) => Math.hypot(a.cx.baseVal.value + 11 - name.x.baseVal[0].value,
                                              a.cy.baseVal.value + 4 - name.y.baseVal[0].value);
            const rings = [...name.ownerSVGElement.querySelectorAll('circle')].sort((a, b) => near(a) - near(b));
            const box = rings[0].getBoundingClientRect();
            out[name.dataset.tavrPoint] = {x: box.x + box.width / 2, y: box.y + box.height / 2, color: name.getAttribute('fill')};
          }
          return out;
        }"""
    )


def to_page(page: Page, points: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Points of the frame on screen, from native pixels to page pixels and by the viewer's own mapping."""
    return page.evaluate(
        """async points => {
          const {activeViewport, toWorld} = await import('/tavr/viewer/viewport.js');
          const viewport = activeViewport();
          const box = viewport.canvas.getBoundingClientRect();
          const place = ([x, y]) => {
            const [left, top] = viewport.worldToCanvas(toWorld(viewport.getCurrentImageId(), x, y));
            return [left + box.x, top + box.y];
          };
          return Object.fromEntries(Object.entries(points).map(([name, point]) => [name, place(point)]));
        }""",
        points,
    )


def screen_pixels(page: Page) -> np.ndarray:
    """(H, W) grey levels of the page as seen, without the points drawn on it."""
    hiding = page.add_style_tag(content="svg.svg-layer, .viewport-overlay { visibility: hidden !important }")
    picture = Image.open(io.BytesIO(page.screenshot()))
    hiding.evaluate("style => style.remove()")
    return np.asarray(picture.convert("L"), np.float32)
