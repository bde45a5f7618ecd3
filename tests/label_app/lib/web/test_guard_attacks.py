"""Attacks on the running server: every known hole of MONAI Label's stock server is tried, and nothing is read or written outside.

The requests are sent as raw bytes where an HTTP library would tidy them up.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from urllib.parse import urlsplit

import pytest
from app_server import MARKS_SOP, PATIENT_NAME, SHORT_SOP, Server, Studies
from attack_tools import BOUNDARY, form, nothing_is_written, send

__all__ = ["nothing_is_written"]  # holds for every test here

FOREIGN = ["/etc/passwd", "../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "file:///etc/passwd", "%2fetc%2fpasswd", ".", ""]


@pytest.mark.parametrize(
    "image", [*FOREIGN, "..%252f..%252fetc%252fpasswd", "a%00b", "marks.dcm", "%2e%2e", "A" * 5000, "x%0d%0ay"]
)
def test_no_image_but_a_registered_one_is_read(server: Server, image: str) -> None:
    for method, target in [
        ("POST", f"/infer/tavr_keypoints?image={image}"),
        ("GET", f"/datastore/image?image={image}"),
        ("HEAD", f"/datastore/image?image={image}"),
        ("GET", f"/datastore/image/info?image={image}"),
        ("GET", f"/datastore/label?label={image}&tag=final"),
        ("GET", f"/datastore/label?label=marks&tag={image}"),
        ("GET", f"/datastore/label/info?label={image}&tag=final"),
        ("GET", f"/tavr/images/{image or 'none'}"),
    ]:
        status, answer, _ = send(server, method, target)
        assert 400 <= status < 500, (method, target[:80], status)
        assert b"root:" not in answer


@pytest.mark.parametrize("path", [*FOREIGN, "/etc/hostname"])
@pytest.mark.parametrize("key", ["image", "label", "model", "device_path", "session"])
def test_parameters_cannot_name_a_file(server: Server, key: str, path: str) -> None:
    body, headers = form("params", None, json.dumps({key: path}).encode())
    status, answer, _ = send(server, "POST", f"/infer/tavr_keypoints?image={MARKS_SOP}", body, **headers)
    assert (status, b"unknown parameter" in answer) == (400, True)


@pytest.mark.parametrize("field", ["file", "label"])
@pytest.mark.parametrize("filename", ["x.dcm", "../../x.py", "..\\x", "/etc/cron.d/x", "x\0.dcm"])
def test_inference_takes_no_upload(server: Server, field: str, filename: str) -> None:
    body, headers = form(field, filename, b"import os")
    for target in (f"/infer/tavr_keypoints?image={MARKS_SOP}", "/infer/tavr_keypoints"):
        assert send(server, "POST", target, body, **headers)[0] == 400


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/datastore/image?image=../x"),
        ("PUT", "/datastore/image?image=../app/main"),
        ("PUT", "/datastore/image?image=x"),
        ("PUT", "/datastore/?image=x"),
        ("DELETE", "/datastore/image?id=marks"),
        ("DELETE", "/datastore/image?id=../labels"),
        ("DELETE", "/datastore/?id=marks"),
        ("PUT", f"/datastore/label?image={MARKS_SOP}&tag=../../outside"),
        ("PUT", f"/datastore/label?image={MARKS_SOP}&tag=..%2f..%2foutside"),
        ("PUT", "/datastore/label?image=..%2f..%2fmain&tag=final"),
        ("PUT", "/datastore/label?image=%2fetc%2fpasswd&tag=final"),
        ("DELETE", f"/datastore/label?id={SHORT_SOP}&tag=final"),  # has none
        ("DELETE", "/datastore/label?id=..%2f..%2fmain&tag=final"),
        ("PUT", f"/datastore/image/info?image={MARKS_SOP}"),
        ("PUT", f"/datastore/label/info?label={MARKS_SOP}&tag=final"),
        ("PUT", "/datastore/updatelabelinfo?label=marks&tag=final"),
        ("GET", "/datastore/dataset"),
        ("PUT", "/model/tavr_keypoints"),
        ("GET", "/model/tavr_keypoints"),
        ("GET", "/model/info/tavr_keypoints"),
        ("DELETE", "/model/tavr_keypoints"),
        ("PUT", "/session/"),
        ("GET", "/session/abc"),
        ("POST", "/infer/wsi/tavr_keypoints"),
        ("POST", "/infer/wsi_v2/tavr_keypoints"),
        ("POST", "/scoring/x"),
        ("DELETE", f"/tavr/labels/{MARKS_SOP}"),
        ("PUT", "/tavr/models/x"),
        ("PATCH", f"/tavr/labels/{MARKS_SOP}"),
        ("OPTIONS", f"/tavr/labels/{MARKS_SOP}"),
        ("POST", "/tavr/status"),
        ("POST", "/reload"),
        ("GET", "/reload"),
        ("GET", "/logs/"),
        ("GET", "/logs/gpu"),
        ("GET", "/proxy/dicom/system"),
        ("GET", "/proxy/dicom/wado/studies"),
        ("GET", "/proxy/dicom/..%2fsystem"),
        ("POST", "/proxy/dicom/stow/studies"),
        ("POST", "/dicomweb/studies"),
        ("DELETE", "/dicomweb/studies/2.25.1000"),
        ("TRACE", "/"),
        ("CONNECT", "/"),
    ],
)
def test_what_writes_or_reaches_out_is_not_offered(server: Server, method: str, target: str) -> None:
    body, headers = form("file" if "image" in target else "label", "../../main.py", b"import os; os.system('id')")
    status, answer, _ = send(server, method, target, body, **headers)
    assert status in (400, 403, 404, 422), (status, answer)
    assert json.loads(answer)["detail"]


def test_reload_is_forbidden(server: Server) -> None:
    assert send(server, "POST", "/reload")[0] == 403


@pytest.mark.parametrize(
    "target",
    [
        "/static/../../../../etc/passwd",
        "/static/..%2f..%2f..%2fconfig.py",
        "/ohif/..%2f..%2f..%2fconfig.py",
        "/ohif/%2e%2e/%2e%2e/%2e%2e/config.py",
        "/ohif/..%5c..%5cconfig.py",
        "/ohif/%252e%252e%252fconfig.py",
        "/tavr/viewer/..%2fmain.py",
        "/tavr/viewer/../main.py",
        "/dicomweb/studies/..%2f..%2fetc/metadata",
        "/dicomweb/studies?PatientName=../../x",
    ],
)
def test_no_path_leads_out_of_its_folder(server: Server, target: str) -> None:
    status, answer, _ = send(server, "GET", target)
    assert status == 400
    assert b"import" not in answer


@pytest.mark.parametrize(
    "target", ["/ohif//etc/passwd", "/ohif/%2fetc%2fpasswd", "/tavr/viewer/%2fetc%2fpasswd", "/static//etc/passwd"]
)
def test_absolute_paths_are_names_like_others(server: Server, target: str) -> None:
    assert b"root:" not in send(server, "GET", target)[1]


def test_other_web_pages_get_no_answer(server: Server) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1"):
        _, _, headers = send(server, "GET", "/info/", origin=origin)
        assert not [h for h in headers if h.startswith("access-control-")]
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert send(server, "POST", f"/infer/tavr_keypoints?image={MARKS_SOP}", origin=origin)[0] == 403
    status, _, headers = send(server, "OPTIONS", "/info/", origin="http://evil.example", access_control_request_method="GET")
    assert (status, [h for h in headers if h.startswith("access-control-")]) == (403, [])


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1"])
def test_a_name_that_points_here_is_not_this_server(server: Server, host: str) -> None:
    assert send(server, "GET", "/dicomweb/studies", host=host)[0] == 400


def test_bodies_are_limited(server: Server) -> None:
    status, _, _ = send(server, "POST", f"/infer/tavr_keypoints?image={MARKS_SOP}", content_length=str(1 << 40))
    assert status == 413
    body, headers = form("params", None, b"x" * (5 << 20))
    chunked = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.putrequest("POST", f"/infer/tavr_keypoints?image={MARKS_SOP}")
    connection.putheader("content-type", headers["content_type"])
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    try:
        connection.send(chunked)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server has hung up already
    else:
        assert 400 <= connection.getresponse().status < 500
    connection.close()
    assert server.client.get("/tavr/status").status_code == 200


@pytest.mark.parametrize("body", [b"", b"--attack", b"\xff\xfe", b"--attack\r\n\r\n--attack--"])
def test_broken_forms_are_the_clients_fault(server: Server, body: bytes) -> None:
    headers = {"content_type": f"multipart/form-data; boundary={BOUNDARY}"}
    status, answer, _ = send(server, "POST", "/infer/tavr_keypoints?image=1.2.3", body, **headers)
    assert 400 <= status < 500, answer
    assert 400 <= send(server, "POST", "/activelearning/none", b"{", content_type="application/json")[0] < 500
    assert 400 <= send(server, "POST", "/activelearning/none", b"{}", content_type="application/json")[0] < 500


def test_a_million_fields_hold_nobody_up(server: Server) -> None:
    body = b"a&" * 500_000
    for target in ("/tavr/login", "/auth/token", f"/infer/tavr_keypoints?image={MARKS_SOP}"):
        started = time.monotonic()
        status, _, _ = send(server, "POST", target, body, content_type="application/x-www-form-urlencoded")
        assert 400 <= status < 500
        assert time.monotonic() - started < 30


def raw(server: Server, request: bytes) -> bytes:
    """The first bytes of the answer to whatever."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(request)
        return connection.recv(65536)


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /tavr/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Annotator: a\x00b\r\n\r\n",
        b"GET /tavr/status HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /tavr/status HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET http://evil.example/tavr/status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /tavr/status\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET " + b"/a" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)  # fmt: skip
def test_broken_http_is_refused(server: Server, request_line: bytes) -> None:
    answer = raw(server, request_line + (b"\r\n\r\n" if request_line.startswith(b"\x16") else b""))
    assert answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert b"set-cookie" not in answer.lower()


def test_the_page_may_talk_to_its_own_server_only(server: Server) -> None:
    _, page, headers = send(server, "GET", "/ohif/")
    assert "default-src 'self'" in headers["content-security-policy"]
    assert b"googleapis" not in page
    assert b"googleapis" not in send(server, "GET", "/ohif/app.bundle.css")[1]


def test_the_log_names_no_patient_no_file_and_no_token(server: Server, studies: Studies) -> None:
    server.client.get("/dicomweb/studies", params={"PatientName": PATIENT_NAME})
    server.client.get("/dicomweb/studies/2.25.1000/metadata")
    server.client.get(
        "/tavr/status", headers={"authorization": "Bearer tavr_secretsecret", "cookie": "tavr_session=secretsecret"}
    )
    server.client.post("/tavr/login", data={"token": "tavr_secretsecret"})
    server.client.get(f"/tavr/images/{PATIENT_NAME}")
    server.client.put(f"/tavr/labels/{MARKS_SOP}", content=json.dumps({"PatientName": PATIENT_NAME}), headers={"if-match": "0"})
    server.client.post("/infer/tavr_keypoints", params={"image": SHORT_SOP})
    log = server.log.read_text()
    assert "instance(s)" in log  # there is a log
    assert "secretname" not in log.lower()
    assert "secretsecret" not in log
    assert not [p.name for p in studies.root.rglob("*") if p.is_file() and p.name in log]
    assert str(studies.root) not in log
    assert "Traceback" not in log  # of no attack in this file
    audit = studies.root.with_name(f"{studies.root.name}-labels") / "audit.jsonl"
    assert not audit.exists() or not re.search("secretname|secretsecret|[.]dcm", audit.read_text(), re.IGNORECASE)
