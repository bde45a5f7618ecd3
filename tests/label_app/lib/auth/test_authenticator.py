"""Who is let in, and what they may do: options, users, tokens, sessions, roles."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from auth_app import ALL, Running, anyio_backend, tokens

from label_app.lib.auth.access import Access
from label_app.lib.auth.attempts import FailedLogins
from label_app.lib.auth.oidc import Issuer, IssuerOptions
from label_app.lib.auth.sessions import IDLE_SECONDS, LONGEST_SECONDS, Sessions
from label_app.lib.auth.tokens import TokenFile
from label_app.lib.auth.user import check_name, local_user, roles_up_to
from label_app.server import main as server_main
from label_app.server import serve
from monai_tavr.cli import main

__all__ = ["anyio_backend", "tokens"]

EVERYWHERE = "0.0.0.0"  # noqa: S104
ROUTES = [  # method, path, least role
    ("GET", "/tavr/status", "annotator"),
    ("PUT", "/tavr/labels/1.2", "annotator"),
    ("POST", "/infer/tavr_keypoints", "annotator"),
    ("POST", "/tavr/track/1.2", "annotator"),
    ("POST", "/train/tavr_keypoints", "reviewer"),
    ("DELETE", "/train/", "reviewer"),
    ("POST", "/batch/infer/tavr_keypoints", "reviewer"),
    ("DELETE", "/batch/infer", "reviewer"),
    ("POST", "/tavr/models/m-1/activate", "admin"),
    ("DELETE", "/datastore/label", "admin"),
]


# --- users and roles


def test_a_role_brings_those_below() -> None:
    assert [sorted(roles_up_to(r)) for r in ("annotator", "reviewer", "admin")] == [["annotator"], ["annotator", "reviewer"], ALL]
    with pytest.raises(ValueError, match="no role"):
        roles_up_to("root")


@pytest.mark.parametrize("name", ["", " a", "../x", "a/b", "a\nb", "a" * 65, "é", "a^b", ".x", "-x"])
def test_a_name_fits_into_files_and_logs(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a user"):
        check_name(name)
    assert check_name("Anna-Maria O. 2") == "Anna-Maria O. 2"


# --- what a server refuses to start with


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": EVERYWHERE}, "--token-file"),
        ({"host": "192.0.2.7", "tls": True}, "--token-file"),
        ({"public_url": "https://tavr.example"}, "--token-file"),
        ({"host": "::", "with_tokens": True}, "--insecure-http"),
        ({"host": EVERYWHERE, "with_tokens": True, "public_url": "http://tavr.example"}, "--insecure-http"),
        ({"host": EVERYWHERE, "with_oidc": True, "tls": True}, "--public-url"),
        ({"public_url": "tavr.example"}, "without a path"),
        ({"public_url": "https://tavr.example/tavr"}, "without a path"),
        ({"public_url": "https://a@tavr.example"}, "without a path"),
    ],
)
def test_open_servers_do_not_start(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    if options.pop("with_tokens", False):
        options["tokens"] = TokenFile(tmp_path / "t.json")
    if options.pop("with_oidc", False):
        options["issuer"] = Issuer(IssuerOptions(issuer="https://login.example", client_id="x"))
    with pytest.raises(ValueError, match=words):
        Access(**options)


def test_protected_servers_start(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "t.json")
    assert Access().local
    assert Access(host="::1").local
    assert not Access(host=EVERYWHERE, tokens=tokens, tls=True).local
    assert not Access(host=EVERYWHERE, tokens=tokens, insecure_http=True).encrypted
    assert Access(public_url="https://tavr.example", tokens=tokens).host_names == {
        "127.0.0.1",
        "::1",
        "localhost",
        "tavr.example",
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", EVERYWHERE], "monai-tavr token add"),
        (["--token-file", "nowhere.json"], "make a first token"),
        (["--tls-cert", "cert.pem"], "belong together"),
        (["--tls-cert", "cert.pem", "--tls-key", "key.pem"], "cert.pem is not a file"),
        (["--tls-cert", "t.txt", "--tls-key", "t.txt"], "are no certificate and its key"),
        (["--port", "99999"], "--port must be a number up to 65535"),
        (["--oidc-issuer", "https://login.example"], "--oidc-client-id"),
        (["--oidc-issuer", "https://login.example", "--oidc-client-secret-file", "no.txt"], "no.txt: No such file"),
        (["--oidc-issuer", "http://login.example", "--oidc-client-id", "x"], "must be an https:// address"),
        (["--oidc-issuer", "https://login.example", "--oidc-client-id", "x", "--oidc-role", "boss=root"], "--oidc-role"),
    ],
)
def test_the_command_says_what_to_do(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("no certificate")
    assert server_main(["start_server", "--studies", str(tmp_path), *options]) == 2
    assert words in capsys.readouterr().err
    assert main(["serve", "--studies", str(tmp_path), *options]) == 2
    assert words in capsys.readouterr().err


def test_an_address_of_another_machine_cannot_be_listened_on(tmp_path: Path) -> None:
    access = Access(host="192.0.2.1", tokens=TokenFile(tmp_path / "t.json"), insecure_http=True)
    with pytest.raises(ValueError, match=r"cannot listen on 192\.0\.2\.1:8123"):
        serve(studies=tmp_path, access=access, port=8123)


# --- tokens


def test_the_file_keeps_no_token(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "deep" / "tokens.json")
    token = file.add("anna", role="reviewer")
    assert len(token) == 48  # "tavr_" and 32 bytes in base64
    assert token not in file.path.read_text()
    assert token[5:] not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    found = TokenFile(file.path).find(token)
    assert found is not None
    assert (found.user.name, sorted(found.user.roles)) == ("anna", ["annotator", "reviewer"])
    for wrong in ("", "tavr_", token[:-1], token + "x", token.upper(), found.sha256, "é\0"):
        assert file.find(wrong) is None


def test_two_tokens_have_nothing_in_common(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    first, second = file.add("a", role="admin"), file.add("b", role="admin")
    one, two = file.entries()
    assert first != second
    assert one.salt != two.salt
    assert (one.matches(first), one.matches(second), two.matches(second)) == (True, False, True)


def test_a_token_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    token = file.add("anna", role="admin", days=1e-9)
    assert file.find(token) is None
    with pytest.raises(ValueError, match="has a token already"):
        file.add("anna", role="admin")
    file.remove("anna")
    with pytest.raises(ValueError, match="has no token"):
        file.remove("anna")
    for days in (0, -1, 1e9, float("nan")):
        with pytest.raises(ValueError, match="up to ten years"):
            file.add("anna", role="admin", days=days)


def test_a_file_that_others_may_change_is_refused(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    token = file.add("anna", role="admin")
    file.path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        file.find(token)
    file.path.chmod(0o600)
    assert file.find(token) is not None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": "x", "tokens": []}', '{"format": "monai-tavr/tokens/1", "tokens": [{"name": "a"}]}', "[" * 9999],
)
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ValueError, match="is no file of tokens"):
        TokenFile(path).find("x")


def test_the_token_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "tokens.json")
    assert main(["token", "add", "anna", "--role", "reviewer", "--file", path]) == 0
    token = capsys.readouterr().out.strip()
    assert TokenFile(path).find(token) is not None
    assert main(["token", "add", "a/b", "--file", path]) == 2
    assert main(["token", "list", "--file", path]) == 0
    listed = capsys.readouterr().out.split()
    assert listed[:3] == ["anna", "reviewer", "until"]
    assert token not in listed
    assert main(["token", "remove", "anna", "--file", path]) == 0
    assert TokenFile(path).find(token) is None


# --- failed logins, sessions


def test_who_fails_often_waits() -> None:
    now = [0.0]
    failed = FailedLogins(limit=3, seconds=60, clock=lambda: now[0])
    for _ in range(2):
        failed.add("192.0.2.1")
    assert not failed.blocked("192.0.2.1")
    failed.add("192.0.2.1")
    assert failed.blocked("192.0.2.1")
    assert not failed.blocked("192.0.2.2")
    now[0] = 61
    assert not failed.blocked("192.0.2.1")
    for last in range(3):
        failed.add(f"2001:db8::{last}")
    assert failed.blocked("2001:db8::ffff")
    assert not failed.blocked("2001:db8:0:1::1")


def test_a_session_ends() -> None:
    now, valid = [0.0], [True]
    sessions = Sessions(clock=lambda: now[0])
    user = local_user("anna")
    cookie = sessions.open(user)
    assert sessions.user(cookie) == user
    assert sessions.user(cookie + "x") is None
    sessions.close(cookie)
    assert sessions.user(cookie) is None
    cookie = sessions.open(user)
    for now[0] in range(0, LONGEST_SECONDS, IDLE_SECONDS - 1):
        assert sessions.user(cookie) == user
    now[0] = LONGEST_SECONDS  # used all the time, but the day is over
    assert sessions.user(cookie) is None
    cookie = sessions.open(user)
    now[0] += IDLE_SECONDS
    assert sessions.user(cookie) is None
    cookie = sessions.open(user, is_valid=lambda: valid[0])
    valid[0] = False
    assert sessions.user(cookie) is None


# --- the guard with users


@pytest.mark.anyio
async def test_this_machine_alone_needs_no_login(tmp_path: Path) -> None:
    running = Running(Access(), tmp_path)
    async with running.program() as client:
        assert (await client.get("/tavr/status")).json() == {"name": "local", "roles": ALL, "auth": "none"}
        assert (await client.get("/tavr/status", headers={"x-annotator": "Anna B"})).json()["name"] == "Anna B"
        for name in ("../x", "a^b", "x" * 65, ""):
            assert (await client.get("/tavr/status", headers={"x-annotator": name})).status_code == 400
        for proxied in ("x-forwarded-for", "forwarded"):  # then it is no longer this machine alone
            answer = await client.get("/tavr/status", headers={proxied: "192.0.2.1"})
            assert (answer.status_code, "--public-url" in answer.text) == (403, True)


@pytest.mark.anyio
async def test_roles_open_routes(tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]]) -> None:
    file, token_of = tokens
    running = Running(Access(tokens=file), tmp_path)
    for role, token in token_of.items():
        async with running.program(token, **{"x-annotator": "somebody else"}) as client:
            for method, path, least in ROUTES:
                answer = await client.request(method, path)
                allowed = least in roles_up_to(role)
                assert answer.status_code == (200 if allowed else 403), (role, method, path)
                if allowed:
                    assert answer.json()["name"] == f"{role}-1"
                else:
                    assert repr(least) in answer.json()["detail"]


@pytest.mark.anyio
async def test_nobody_is_let_in_without_a_token(tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]]) -> None:
    file, token_of = tokens
    running = Running(Access(tokens=file), tmp_path)
    good = token_of["admin"]
    async with running.program(**{"x-annotator": "admin-1"}) as client:
        for method, path, _ in ROUTES:
            answer = await client.request(method, path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        for given in (f"Basic {good}", good, "Bearer", "Bearer ", f"Bearer {good}x", f"Bearer x.{good}.y"):
            assert (await client.get("/tavr/status", headers={"authorization": given})).status_code in (401, 429), given
        for path in ("/tavr/status?token=" + good, "/tavr/status?access_token=" + good):
            assert (await client.get(path)).status_code == 401
        assert (await client.get("/tavr/status", headers={"authorization": f"bearer {good}"})).status_code == 200


@pytest.mark.anyio
async def test_a_removed_token_is_refused_at_once(tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]]) -> None:
    file, token_of = tokens
    running = Running(Access(tokens=file), tmp_path)
    async with running.program(token_of["admin"]) as program, running.browser() as browser:
        assert (await browser.post("/tavr/login", data={"token": token_of["admin"]})).status_code == 303
        assert (await browser.get("/tavr/status")).json()["name"] == "admin-1"
        TokenFile(file.path).remove("admin-1")  # by another process
        assert (await program.get("/tavr/status")).status_code == 401
        assert (await browser.get("/tavr/status", headers={"accept": "*/*"})).status_code == 401
        file.path.unlink()
        async with running.program(token_of["reviewer"]) as other:
            assert (await other.get("/tavr/status")).status_code == 401


@pytest.mark.anyio
async def test_a_browser_logs_in_and_out(tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]]) -> None:
    file, token_of = tokens
    running = Running(Access(tokens=file, public_url="https://tavr.example"), tmp_path)
    async with running.browser() as browser:
        sent = await browser.get("/ohif/tavr?StudyInstanceUIDs=1.2.3")
        assert sent.status_code == 303
        page = await browser.get(sent.headers["location"])
        assert 'value="/ohif/tavr?StudyInstanceUIDs=1.2.3"' in page.text
        wrong = await browser.post("/tavr/login", data={"token": "tavr_wrong"})
        assert (wrong.status_code, "not valid" in wrong.text, "set-cookie" in wrong.headers) == (401, True, False)
        entered = {"token": token_of["annotator"], "next": "/ohif/tavr?StudyInstanceUIDs=1.2.3"}
        done = await browser.post("/tavr/login", data=entered)
        assert (done.status_code, done.headers["location"]) == (303, "/ohif/tavr?StudyInstanceUIDs=1.2.3")
        cookie = done.headers["set-cookie"]
        assert cookie.startswith("__Host-tavr=")
        for word in ("HttpOnly", "SameSite=strict", "Secure", "Path=/", f"Max-Age={LONGEST_SECONDS}"):
            assert word in cookie
        assert token_of["annotator"] not in cookie
        assert (await browser.get("/dicomweb/studies")).json()["name"] == "annotator-1"
        assert (await browser.get("/auth/token/valid")).json()["username"] == "annotator-1"
        kept = dict(browser.cookies)
        assert (await browser.post("/tavr/logout")).status_code == 303
        browser.cookies.update(kept)  # whoever copied the cookie is out too
        assert (await browser.get("/dicomweb/studies", headers={"accept": "*/*"})).status_code == 401
    assert running.recorded() == [("-", "login.refused"), ("annotator-1", "login.accepted")]
    assert "tavr_" not in running.audit.read_text()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/ohif/\r\nset-cookie: a=b",
        '/"><script>',
        "elsewhere",
    ],
)
async def test_a_login_leads_nowhere_else(tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]], target: str) -> None:
    file, token_of = tokens
    async with Running(Access(tokens=file), tmp_path).browser() as browser:
        page = await browser.get("/tavr/login", params={"next": target})
        assert page.status_code == 400 or ('name="next" value="/ohif/"' in page.text and target not in page.text)
        done = await browser.post("/tavr/login", data={"token": token_of["admin"], "next": target})
        assert (done.status_code, done.headers["location"]) == (303, "/ohif/")
        assert "a=b" not in done.headers["set-cookie"]


@pytest.mark.anyio
async def test_other_pages_cannot_use_a_session(tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]]) -> None:
    file, token_of = tokens
    running = Running(Access(tokens=file), tmp_path)
    async with running.browser() as browser:
        await browser.post("/tavr/login", data={"token": token_of["admin"]})
    cookies = dict(browser.cookies)
    for headers, expected in [
        ({}, 403),  # a browser says where it comes from
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"origin": "http://evil.example", "sec-fetch-site": "same-origin"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
    ]:
        async with running.program(**headers) as client:
            client.cookies.update(cookies)
            for method, path, _ in ROUTES[1:]:
                assert (await client.request(method, path)).status_code == expected, (headers, path)
            if expected == 403 and headers:
                assert (await client.post("/tavr/login", data={"token": token_of["admin"]})).status_code == 403
            assert (await client.get("/tavr/status")).status_code == 200  # reading does no harm, and the page reads no answer


@pytest.mark.anyio
async def test_guessing_is_slowed_but_the_right_token_still_works(
    tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]]
) -> None:
    file, token_of = tokens
    running = Running(Access(tokens=file), tmp_path)
    async with running.program("tavr_wrong") as client:
        assert [(await client.get("/tavr/status")).status_code for _ in range(12)] == [401] * 10 + [429] * 2
    async with running.browser() as browser:
        answer = await browser.post("/tavr/login", data={"token": "tavr_wrong"})
        assert (answer.status_code, "wait 5 minutes" in answer.text) == (429, True)
        assert (await browser.post("/tavr/login", data={"token": token_of["admin"]})).status_code == 303
    assert running.recorded() == [("-", "login.refused")] * 10 + [("admin-1", "login.accepted")]


@pytest.mark.anyio
async def test_a_damaged_token_file_is_in_the_log_without_its_content(
    tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    file, token_of = tokens
    running = Running(Access(tokens=file), tmp_path)
    file.path.write_text('{"format": "monai-tavr/tokens/1", "tokens": [{"secret": 1}]}')
    async with running.program(token_of["admin"]) as client:
        assert (await client.get("/tavr/status")).status_code == 401
    assert "no file of tokens" in caplog.text
    assert token_of["admin"] not in caplog.text


@pytest.mark.anyio
async def test_monai_labels_clients_log_in_with_their_token(tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]]) -> None:
    file, token_of = tokens
    running = Running(Access(tokens=file), tmp_path)
    async with running.program() as client:
        assert (await client.get("/auth/")).json() == {"enabled": True, "client_id": None, "realm": None}
        entered = {"username": "reviewer-1", "password": token_of["reviewer"], "grant_type": "password"}
        given = (await client.post("/auth/token", data=entered)).json()
        assert given == {"access_token": token_of["reviewer"], "token_type": "Bearer"}
        for wrong in ({"username": "admin-1"}, {"password": "tavr_x"}, {"password": "x"}, {"password": ""}):
            answer = await client.post("/auth/token", data={**entered, **wrong})
            assert (answer.status_code, "access_token" in answer.text) == (401, False)
    async with Running(Access(), tmp_path).program() as client:
        assert (await client.get("/auth/")).json()["enabled"] is False
