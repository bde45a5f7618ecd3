"""A bare page for the viewer's modules: no OHIF, no server of ours; ``bench/bench.js`` stands for both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

__all__ = ["bench_page"]

_HERE = Path(__file__).parent
_VIEWER = _HERE.parents[1] / "label_app" / "viewer"
_ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
_PATIENCE = 60_000  # ms


class _Files(SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        name = path.split("?")[0].lstrip("/")
        return str(
            _VIEWER / name.removeprefix("viewer/") if name.startswith("viewer/") else _HERE / "bench" / (name or "index.html")
        )

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def bench_page() -> Iterator[Page]:
    """A page of 1280 x 800 on the bench. An exception in it fails the test that leaves it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    problems: list[str] = []
    expect.set_options(timeout=_PATIENCE)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(_ARGUMENTS))
            try:
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.set_default_timeout(_PATIENCE)
                page.on("pageerror", lambda error: problems.append(str(error)))
                page.goto(f"http://127.0.0.1:{server.server_port}/")
                yield page
            finally:
                browser.close()
    finally:
        server.shutdown()
        server.server_close()
    assert problems == []
