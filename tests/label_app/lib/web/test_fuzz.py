"""Random requests for everything that is offered: none makes the server fail. The seeds are fixed, so a failure comes again."""

from __future__ import annotations

import json
import random
import re
from typing import Any
from urllib.parse import quote

import pytest
from app_server import MARKS_SOP, STACK_SERIES, STUDY, Server
from attack_tools import form, nothing_is_written, send

__all__ = ["nothing_is_written"]  # holds for every test here

_HOSTILE = r""". .. %2e%2e%2f /etc/passwd %00 \ %ff %c3%28 é -1 0 1e999 NaN null [] {} ' " <script> ${jndi:x} __class__ %s%n
    %0d%0a ;id |id `id` * ? # & = + final tavr_keypoints random true ٣ frames metadata rendered series instances label image"""
_KEYS = "image label tag params frames frame points from to exclude id base model output schema x limit"
PIECES = [*_HOSTILE.split(), "", " ", "A" * 300, "9" * 40, MARKS_SOP, STUDY, STACK_SERIES]
KEYS = _KEYS.split()
VALUES: list[Any] = [
    *(None, True, 0, -1, 10**17, 1.5, [], {}, [[]], {"a": {"b": []}}, [0, 1], ["anatomical"]),
    *("", "../x", "é\u202e", "AA1", "visible", MARKS_SOP, "0-9"),
]
_OFFERED = """
    GET /{}
    GET /info/
    GET /train/
    GET /scoring/
    GET /batch/infer
    GET /static/{}
    GET /ohif/{}
    GET /auth/token/valid
    GET /tavr/{}
    GET /tavr/images/{}
    GET /tavr/labels/{}
    GET /tavr/labels/{}/versions/{}
    GET /tavr/frames/{}/{}.png
    GET /tavr/viewer/{}
    GET /tavr/scores
    GET /tavr/models
    GET /tavr/login
    GET /tavr/login/oidc
    GET /tavr/login/callback
    GET /dicomweb/{}
    GET /dicomweb/studies
    GET /dicomweb/series
    GET /dicomweb/instances
    GET /dicomweb/studies/{}/metadata
    GET /dicomweb/studies/{}/series/{}/instances/{}/frames/{}
    GET /datastore/
    GET /datastore/{}
    GET /datastore/image
    GET /datastore/image/info
    GET /datastore/label
    GET /datastore/label/info
    HEAD /datastore/label
    PUT /datastore/label
    PUT /tavr/labels/{}
    POST /infer/{}
    POST /activelearning/{}
    POST /train/{}
    POST /tavr/track/{}
    POST /tavr/models/{}/activate
    POST /tavr/login
    POST /tavr/logout
    POST /auth/token
    DELETE /datastore/label
    DELETE /train/
"""
OFFERED = [line.split() for line in _OFFERED.strip().splitlines()]


def random_request(rng: random.Random) -> tuple[str, str, bytes, dict[str, str]]:
    """A request for something offered, with anything in it."""
    method, path = rng.choice(OFFERED)
    target = re.sub(r"\{\}", lambda _: "".join(rng.choices(PIECES, k=rng.choice((1, 1, 2)))), path)
    query = "&".join(f"{rng.choice(KEYS)}={rng.choice(PIECES)}" for _ in range(rng.randrange(4)))
    headers = {rng.choice(("if_match", "accept", "range", "x_model", "cookie", "authorization")): rng.choice(PIECES)}
    target = quote(target + (f"?{query}" if query else ""), safe="%/?&=+;,:@!$'()*~[]{}|\\^`<>\"")
    if method not in ("POST", "PUT"):
        return method, target, b"", headers
    value = {rng.choice(KEYS): rng.choice(VALUES) for _ in range(rng.randrange(4))} if rng.random() < 0.8 else rng.choice(VALUES)
    text = json.dumps(value).encode()
    if rng.random() < 0.2:
        text = bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.05 else b for b in text)
    if rng.random() < 0.4:
        text, more = form(rng.choice(KEYS), rng.choice((None, "x.json", "../x.py")), text)
    else:
        more = {
            "content_type": rng.choice(("application/json", "application/json", "application/x-www-form-urlencoded", "text/html"))
        }
    return method, target, text, {**headers, **more}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_no_request_makes_the_server_fail(server: Server, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(150):
        method, target, body, headers = random_request(rng)
        clean = {k: v for k, v in headers.items() if v.isascii() and "\\" not in v}
        status, answer, _ = send(server, method, target.replace(" ", "%20"), body, **clean)
        assert status < 500, (method, target, body, headers, answer[:500])
