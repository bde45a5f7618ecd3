"""Requests exactly as an attacker writes them, and a watch over the files that none of them may change."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from app_server import Server, Studies

BOUNDARY = "attack"


def send(server: Server, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """One request exactly as written."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    try:
        connection.putrequest(method, target, skip_host="host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if "content_length" not in headers and (body or method in ("POST", "PUT")):
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


def form(name: str, filename: str | None, content: bytes) -> tuple[bytes, dict[str, str]]:
    """A multipart form with one part."""
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    body = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, {"content_type": f"multipart/form-data; boundary={BOUNDARY}"}


def snapshot(*folders: Path) -> dict[str, tuple[int, int]]:
    own = {"__pycache__", "cache", "log.txt", "audit.jsonl", "patients.key"}  # what the server may write at any time
    files = [p for folder in folders for p in folder.rglob("*") if not own & set(p.parts)]
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in files if p.is_file()}


@pytest.fixture(autouse=True)
def nothing_is_written(server: Server, studies: Studies) -> Iterator[None]:
    """The studies, their surroundings, the server's folders and the app's code stay as they are."""
    app = Path(__file__).resolve().parents[2] / "label_app"
    folders = (studies.root.parent, server.log.parent, app)
    before = snapshot(*folders)
    yield
    assert sorted(set(before.items()) ^ set(snapshot(*folders).items())) == []
