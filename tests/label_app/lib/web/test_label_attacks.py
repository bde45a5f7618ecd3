"""Attacks by what a request carries: labels, tags, parameters, headers. Each is answered in words, and nothing is written."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from app_server import MARKS_SOP, SIZE, STUDY, Server
from attack_tools import form, nothing_is_written, send

from monai_tavr.formats.label_json import label_to_dict
from monai_tavr.label import CineLabel, ImageInfo

__all__ = ["nothing_is_written"]  # holds for every test here


def label(server: Server, **changes: Any) -> dict[str, Any]:
    """A label of the marks that the server would take, changed."""
    image = server.client.get(f"/tavr/images/{MARKS_SOP}").json()["image"]
    empty = label_to_dict(CineLabel(image=ImageInfo(rows=SIZE, columns=SIZE, number_of_frames=4), frames=()))
    return {**empty, "image": image, "frames": point(), **changes}


def put_label(server: Server, body: bytes, image: str = MARKS_SOP, **headers: str) -> tuple[int, bytes]:
    given = {"content_type": "application/json", "if_match": '"0"', **headers}
    status, answer, _ = send(server, "PUT", f"/tavr/labels/{image}", body, **given)
    return status, answer


def point(**values: Any) -> list[dict[str, Any]]:
    return [{"frame": 0, "points": {"AA1": {"state": "visible", "source": "annotator", "x": 1, "y": 1, **values}}}]


BAD_LABELS: list[tuple[str, Callable[[Server], bytes]]] = [
    ("nothing", lambda s: b""),
    ("half", lambda s: json.dumps(label(s)).encode()[:-3]),
    ("list", lambda s: b"[]"),
    ("null", lambda s: b"null"),
    ("text", lambda s: b'"../../etc/passwd"'),
    ("not utf-8", lambda s: json.dumps(label(s)).encode().replace(b"AA1", b"A\xff1")),
    ("utf-16", lambda s: json.dumps(label(s)).encode("utf-16")),
    ("NaN", lambda s: json.dumps(label(s, frames=point(x=float("nan")))).encode()),
    ("Infinity", lambda s: json.dumps(label(s, frames=point(y=float("inf")))).encode()),
    ("1e999", lambda s: json.dumps(label(s, frames=point(x=777))).encode().replace(b"777", b"1e999")),
    ("huge whole number", lambda s: json.dumps(label(s, frames=point(x=777))).encode().replace(b"777", b"9" * 5000)),
    ("deep", lambda s: b"[" * 100_000 + b"]" * 100_000),
    ("deep inside", lambda s: json.dumps(label(s, frames=777)).encode().replace(b"777", b'{"a":' * 5000 + b"1" + b"}" * 5000)),
    ("coordinate is text", lambda s: json.dumps(label(s, frames=point(x="1"))).encode()),
    ("coordinate is a truth", lambda s: json.dumps(label(s, frames=point(x=True))).encode()),
    ("outside", lambda s: json.dumps(label(s, frames=point(x=1e6))).encode()),
    ("far outside", lambda s: json.dumps(label(s, frames=point(y=-1e308))).encode()),
    ("unknown key", lambda s: json.dumps(label(s, frames=point(path="/etc/passwd"))).encode()),
    ("unknown top key", lambda s: json.dumps(label(s, file="/etc/passwd")).encode()),
    ("unknown state", lambda s: json.dumps(label(s, frames=point(state="maybe"))).encode()),
    ("unknown source", lambda s: json.dumps(label(s, frames=point(source="root"))).encode()),
    ("unknown point", lambda s: json.dumps(label(s, frames=[{"frame": 0, "points": {"../x": {"state": "absent"}}}])).encode()),
    ("frames is an object", lambda s: json.dumps(label(s, frames={"0": {}})).encode()),
    ("frame is text", lambda s: json.dumps(label(s, frames=[{"frame": "0", "points": {}}])).encode()),
    ("frame below", lambda s: json.dumps(label(s, frames=[{"frame": -1, "points": {}}])).encode()),
    ("frame above", lambda s: json.dumps(label(s, frames=[{"frame": 4, "points": {}}])).encode()),
    ("frame twice", lambda s: json.dumps(label(s, frames=point() + point())).encode()),
    ("10 000 frames", lambda s: json.dumps(label(s, frames=[{"frame": f, "points": {}} for f in range(10_000)])).encode()),
    ("another schema", lambda s: json.dumps(label(s, schema="../x")).encode()),
    ("no image", lambda s: json.dumps(label(s, image=None)).encode()),
    ("another image", lambda s: json.dumps(label(s, image={**label(s)["image"], "sop_instance_uid": f"{STUDY}.1.1"})).encode()),
    ("another size", lambda s: json.dumps(label(s, image={**label(s)["image"], "rows": 40})).encode()),
    ("another length", lambda s: json.dumps(label(s, image={**label(s)["image"], "number_of_frames": 10_000})).encode()),
    ("a program", lambda s: b"import os; os.system('id')"),
    ("a pickle", lambda s: pickle.dumps({"a": 1})),
    ("a zip bomb", lambda s: zip_bomb()),
]


def zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("label.json", b"[" * (20 << 20))
    return stream.getvalue()


@pytest.mark.parametrize("make", [m for _, m in BAD_LABELS], ids=[n for n, _ in BAD_LABELS])
def test_only_a_label_of_the_image_is_taken(server: Server, make: Callable[[Server], bytes]) -> None:
    body = make(server)
    status, answer = put_label(server, body)
    assert status in (400, 413, 415), (status, answer[:300])
    assert len(json.loads(answer)["detail"]) > 10
    form_body, headers = form("label", "../../label.json", body)
    for tag in ("final", "original"):
        status, answer, _ = send(server, "PUT", f"/datastore/label?image={MARKS_SOP}&tag={tag}", form_body, **headers)
        assert 400 <= status < 500, (status, answer[:300])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"if_match": ""}, 400),
        ({"if_match": "*"}, 400),
        ({"if_match": '"-1"'}, 400),
        ({"if_match": '"1e3"'}, 400),
        ({"if_match": "9" * 5000}, 400),
        ({"if_match": '"../../x"'}, 400),
        ({"if_match": '"999"'}, 409),
        ({"x_model": "../../../etc/passwd"}, 400),
        ({"x_model": "0" * 63}, 400),
        ({"x_annotator": "../../x"}, 400),
        ({"x_annotator": "a" * 5000}, 400),
        ({"x_annotator": "Ren\xe9"}, 400),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/xml"}, 415),
        ({"content_type": "application/octet-stream"}, 415),
        ({"content_type": "image/svg+xml"}, 415),
        ({"content_type": ""}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"content_encoding": "br, gzip"}, 415),
        ({"transfer_encoding": "chunked", "content_length": "5"}, 400),
        ({"content_length": str(5 << 20)}, 413),
        ({"content_length": "9" * 30}, 400),
    ],
)
def test_headers_are_checked(server: Server, headers: dict[str, str], expected: int) -> None:
    status, answer = put_label(server, json.dumps(label(server)).encode(), **headers)
    assert status == expected, answer[:300]
    assert b"detail" in answer or expected == 400  # the HTTP parser has its own words


def test_a_submit_names_its_version(server: Server) -> None:
    body = json.dumps(label(server)).encode()
    status, answer, _ = send(server, "PUT", f"/tavr/labels/{MARKS_SOP}", body, content_type="application/json")
    assert (status, b"If-Match" in answer) == (428, True)


_TAGS = """../../outside ..%2f..%2foutside ..%252foutside final%2f..%2f..%2fx %2fetc%2fcron.d%2fx C:%5cx %5c%5chost%5cshare
    %2f%2fhost%2fshare final%00.py a%0d%0ab . .. %2e%2e final.py/x f%c3%b6n %ff final%20 ~ $HOME"""
TAGS = [*_TAGS.split(), "x" * 3000]


@pytest.mark.parametrize("tag", TAGS)
def test_tags_are_no_paths(server: Server, tag: str) -> None:
    body, headers = form("label", "label.json", json.dumps(label(server)).encode())
    for method, target in [
        ("PUT", f"/datastore/label?image={MARKS_SOP}&tag={tag}"),
        ("GET", f"/datastore/label?label={MARKS_SOP}&tag={tag}"),
        ("HEAD", f"/datastore/label?image={MARKS_SOP}&tag={tag}"),
        ("GET", f"/datastore/label/info?label={MARKS_SOP}&tag={tag}"),
        ("DELETE", f"/datastore/label?id={MARKS_SOP}&tag={tag}"),
        ("GET", f"/tavr/labels/{MARKS_SOP}/versions/{tag}"),
        ("GET", f"/tavr/frames/{MARKS_SOP}/{tag}.png"),
        ("GET", f"/tavr/frames/{tag}/0.png"),
        ("GET", f"/tavr/labels/{tag}"),
        ("PUT", f"/tavr/labels/{tag}"),
        ("POST", f"/tavr/track/{tag}"),
        ("POST", f"/tavr/models/{tag}/activate"),
    ]:
        status, answer, _ = send(server, method, target, body if method == "PUT" else b"", **(headers if method == "PUT" else {}))
        assert 400 <= status < 500, (method, target[:80], status, answer[:300])


@pytest.mark.parametrize(
    "params",
    [
        *(
            '{"base": "x"}',
            '{"base": -1}',
            '{"base": 1e999}',
            '{"base": NaN}',
            '{"base": ' + "9" * 5000 + "}",
            '{"base": {"a": 1}}',
        ),
        *("[" * 100_000, "[]", "{", "\x00", '{"label_info": [{"name": "../../x"}], "base": 77}'),
    ],
)
def test_form_parameters_are_checked(server: Server, params: str) -> None:
    files = {"label": ("x.json", json.dumps(label(server)).encode())}
    answer = server.client.put(f"/datastore/label?image={MARKS_SOP}", files=files, data={"params": params})
    assert 400 <= answer.status_code < 500, answer.text[:300]
    answer = server.client.post(f"/infer/tavr_keypoints?image={MARKS_SOP}", files={"params": (None, params.encode())})
    assert 400 <= answer.status_code < 500, answer.text[:300]


@pytest.mark.parametrize(
    "frames",
    ["0-99999," * 1000, "0-3," * 100_000, "9" * 5000, [0] * 5 + [1e300], [True], [[0]], {"a": 1}, "0-\x00", "٣", -1, 1e999],
)
def test_ranges_of_frames_take_no_memory(server: Server, frames: Any) -> None:
    params = json.dumps({"frames": frames})
    answer = server.client.post(f"/infer/tavr_keypoints?image={MARKS_SOP}", files={"params": (None, params)})
    assert 400 <= answer.status_code < 500, answer.text[:300]


@pytest.mark.parametrize(
    ("method", "target", "content"),
    [
        ("POST", "/train/tavr_keypoints", {"initial_weights": "/etc/passwd"}),
        ("POST", "/train/tavr_keypoints", {"max_epochs": 10**9}),
        ("POST", "/train/tavr_keypoints", {"max_epochs": "1"}),
        ("POST", "/train/tavr_keypoints", {"config_file": "../../x.yaml"}),
        ("POST", "/train/tavr_keypoints", {"learning_rate": -1}),
        ("POST", "/train/tavr_keypoints", [1]),
        ("POST", "/train/..%2fx", {}),
        ("POST", "/train/", {"tavr_keypoints": {"_target_": "os.system"}}),
        ("POST", "/activelearning/random", {"image": "/etc/passwd"}),
        ("POST", "/activelearning/random", {"image": {"a": 1}}),
        ("POST", "/activelearning/random", {"exclude": "../x"}),
        ("POST", "/activelearning/random", {"exclude": [[["x"]]]}),
        ("POST", "/activelearning/random", {"exclude": [{"id": 1, "frame": "x"}]}),
        ("POST", "/activelearning/random", [1]),
        ("POST", "/activelearning/os.system", {}),
        ("POST", f"/tavr/track/{MARKS_SOP}", {}),
        ("POST", f"/tavr/track/{MARKS_SOP}", []),
        ("POST", f"/tavr/track/{MARKS_SOP}", {"from": 1, "to": 2}),
        ("POST", f"/tavr/track/{MARKS_SOP}", {"from": {"frame": -1, "points": {}}, "to": {"frame": 9, "points": {}}}),
        ("POST", f"/tavr/track/{MARKS_SOP}", {"from": {"frame": 3, "points": {}}, "to": {"frame": 0, "points": {}}}),
        ("POST", f"/tavr/track/{MARKS_SOP}", {"from": {"frame": 0, "points": {"AA1": "x"}}, "to": {"frame": 3, "points": {}}}),
        ("POST", "/tavr/track/1.2.3", {}),
        ("POST", "/tavr/models/none/activate", {}),
    ],
)
def test_what_a_route_does_not_know_is_refused(server: Server, method: str, target: str, content: Any) -> None:
    status, answer, _ = send(server, method, target, json.dumps(content).encode(), content_type="application/json")
    assert 400 <= status < 500, answer[:300]
    assert len(str(json.loads(answer)["detail"])) > 5
