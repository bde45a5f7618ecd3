"""Logins at an OpenID Connect issuer: a local one with real keys signs good tokens, and every kind of bad one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from auth_app import ALL, Running, anyio_backend, tokens
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from issuer_server import CLIENT, PASSWORD, LocalIssuer

from label_app.lib.auth.access import Access
from label_app.lib.auth.oidc import Issuer, IssuerDown, IssuerOptions, LoginRefused
from label_app.lib.auth.tokens import TokenFile
from label_app.lib.auth.user import check_name

__all__ = ["anyio_backend", "tokens"]


@pytest.fixture(scope="module")
def issuer_process() -> Iterator[LocalIssuer]:
    running = LocalIssuer()
    yield running
    running.close()


@pytest.fixture
def local(issuer_process: LocalIssuer) -> Iterator[LocalIssuer]:
    """The issuer as it was before the test."""
    kept = dict(vars(issuer_process))
    issuer_process.codes, issuer_process.asked, issuer_process.keys = {}, [], dict(kept["keys"])
    yield issuer_process
    vars(issuer_process).update(kept)


def issuer_of(local: LocalIssuer, **options: Any) -> Issuer:
    return Issuer(IssuerOptions(issuer=local.url, client_id=CLIENT, **options))


@pytest.mark.parametrize("kid", ["r1", "e1"])
def test_a_good_token_names_its_user(local: LocalIssuer, kid: str) -> None:
    user = issuer_of(local).bearer(local.token(kid=kid, realm_access={"roles": ["offline_access", "reviewer", "annotator"]}))
    assert (user.name, sorted(user.roles)) == ("anna", ["annotator", "reviewer"])


def test_claims_lead_to_roles(local: LocalIssuer) -> None:
    issuer = issuer_of(
        local, role_claim="https://tavr/roles", roles={"tavr-lead": "admin", "tavr": "annotator"}, name_claim="name"
    )
    token = local.token(**{"https://tavr/roles": "tavr-lead", "name": "Anna Berg"})
    user = issuer.bearer(token)
    assert (user.name, sorted(user.roles)) == ("Anna Berg", ALL)
    for roles in (None, [], "admin", ["admin"], {"tavr": 1}, [["tavr"]], 7, [None]):
        with pytest.raises(LoginRefused, match="no role here"):
            issuer.bearer(local.token(**{"https://tavr/roles": roles}))


def test_a_name_that_fits_no_file_is_changed_and_stays_apart(local: LocalIssuer) -> None:
    issuer = issuer_of(local)
    names = [
        issuer.bearer(local.token(preferred_username=name, sub=sub)).name
        for name, sub in [
            ("anna@a.example", "1"),
            ("anna@a.example", "2"),
            ("Ängström/../x", "3"),
            (None, "f:9f:x"),
            ("a" * 99, "5"),
        ]
    ]
    assert names[0].startswith("anna_a.example.")
    assert len(set(names)) == 5
    assert all(check_name(name) for name in names)


OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # the issuer has no such key
CARRIED = jwt.algorithms.RSAAlgorithm.to_jwk(OTHER.public_key(), as_dict=True)
BAD: list[tuple[str, Callable[[LocalIssuer], str]]] = [
    ("expired", lambda i: i.token(exp=1)),
    ("no end", lambda i: i.token(exp=None)),
    ("not yet", lambda i: i.token(nbf=4102444800)),
    ("another issuer", lambda i: i.token(iss="https://evil.example")),
    ("issuer's neighbour", lambda i: i.token(iss=i.url + "/")),
    ("no issuer", lambda i: i.token(iss=None)),
    ("another audience", lambda i: i.token(aud="account")),
    ("other audiences", lambda i: i.token(aud=["account", "tavr2"])),
    ("no audience", lambda i: i.token(aud=None)),
    ("nobody", lambda i: i.token(sub=None)),
    ("alg none", lambda i: jwt.encode(i.claims(), None, algorithm="none", headers={"kid": "r1"})),
    ("alg None", lambda i: forged(i, {"alg": "None", "kid": "r1"}, b"")),
    ("signed with the public key as a secret", lambda i: confused(i)),
    ("another key under this name", lambda i: jwt.encode(i.claims(), OTHER, algorithm="RS256", headers={"kid": "r1"})),
    ("key in the token", lambda i: jwt.encode(i.claims(), OTHER, algorithm="RS256", headers={"kid": "r1", "jwk": CARRIED})),
    ("key at an address", lambda i: jwt.encode(i.claims(), OTHER, algorithm="RS256", headers={"jku": "http://127.0.0.1:1/"})),
    ("RSA name on the EC key", lambda i: jwt.encode(i.claims(), i.rsa, algorithm="RS256", headers={"kid": "e1"})),
    ("PS256", lambda i: jwt.encode(i.claims(), i.rsa, algorithm="PS256", headers={"kid": "r1"})),
    ("RS512", lambda i: jwt.encode(i.claims(), i.rsa, algorithm="RS512", headers={"kid": "r1"})),
    ("no key named", lambda i: jwt.encode(i.claims(), i.rsa, algorithm="RS256")),
    ("unknown key", lambda i: jwt.encode(i.claims(), i.rsa, algorithm="RS256", headers={"kid": "r2"})),
    ("kid is a path", lambda i: jwt.encode(i.claims(), i.rsa, algorithm="RS256", headers={"kid": "../../../../dev/null"})),
    ("unknown crit", lambda i: jwt.encode(i.claims(), i.rsa, algorithm="RS256", headers={"kid": "r1", "crit": ["x"], "x": 1})),
    ("no signature", lambda i: i.token().rsplit(".", 1)[0] + "."),
    ("claims changed", lambda i: changed(i)),
    ("no JSON", lambda i: "a.b.c"),
    ("deep JSON", lambda i: forged(i, {"alg": "RS256", "kid": "r1", "x": 1}, b"x", b"[" * 100_000)),
    ("header is a list", lambda i: f"{b64(b'[1]')}.{b64(b'{}')}.{b64(b'x')}"),
    ("kid is an object", lambda i: forged(i, {"alg": "RS256", "kid": {"a": 1}}, b"x")),
    ("empty", lambda i: ""),
    ("bytes", lambda i: "\x00.é.\ud800"),
]


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def forged(issuer: LocalIssuer, header: dict[str, Any], signature: bytes, payload: bytes | None = None) -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(payload or json.dumps(issuer.claims()).encode())}.{b64(signature)}"


def changed(issuer: LocalIssuer) -> str:
    header, _, signature = issuer.token().split(".")
    return f"{header}.{b64(json.dumps(issuer.claims(realm_access={'roles': ['admin']})).encode())}.{signature}"


def confused(issuer: LocalIssuer) -> str:
    """HS256 with the public key, which everybody has, as the secret."""
    pem = issuer.rsa.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'r1'}).encode())}.{b64(json.dumps(issuer.claims()).encode())}"
    return f"{head}.{b64(hmac.new(pem, head.encode(), hashlib.sha256).digest())}"


@pytest.mark.parametrize("make", [m for _, m in BAD], ids=[n for n, _ in BAD])
def test_a_bad_token_is_refused(local: LocalIssuer, make: Callable[[LocalIssuer], str]) -> None:
    issuer = issuer_of(local)
    with pytest.raises(LoginRefused) as refusal:
        issuer.bearer(make(local))
    assert "anna" not in str(refusal.value)
    assert issuer.bearer(local.token()).name == "anna"


def test_a_symmetric_key_of_the_issuer_is_not_taken(local: LocalIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = b"s" * 32
    monkeypatch.setattr(local, "jwks", lambda: {"keys": [{"kty": "oct", "k": b64(secret), "kid": "h1", "use": "sig"}]})
    with pytest.raises(LoginRefused, match="signs with HS256"):
        issuer_of(local).bearer(jwt.encode(local.claims(), secret, algorithm="HS256", headers={"kid": "h1"}))


def test_a_clock_may_be_off_by_seconds(local: LocalIssuer) -> None:
    now = int(time.time())
    issuer = issuer_of(local)
    assert issuer.bearer(local.token(exp=now - 10, nbf=now + 10)).name == "anna"
    for late in ({"exp": now - 40}, {"nbf": now + 60}):
        with pytest.raises(LoginRefused):
            issuer.bearer(local.token(**late))


def test_keys_are_kept_and_a_new_one_is_fetched(local: LocalIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = issuer_of(local)
    for _ in range(5):
        issuer.bearer(local.token())
    assert local.asked == ["openid-configuration", "certs"]
    for number in range(20):  # made-up keys do not make the server ask again and again
        with pytest.raises(LoginRefused):
            issuer.bearer(jwt.encode(local.claims(), OTHER, algorithm="RS256", headers={"kid": f"x{number}"}))
    assert local.asked == ["openid-configuration", "certs"]
    local.keys["r2"] = OTHER
    assert issuer._keys is not None
    issuer._keys.cooldown_duration = 0  # half a minute later
    assert issuer.bearer(local.token(kid="r2")).name == "anna"


def test_an_issuer_that_fails_is_no_reason_to_let_anyone_in(local: LocalIssuer) -> None:
    issuer = issuer_of(local)
    local.fails = True
    with pytest.raises(IssuerDown):
        issuer.bearer(local.token())
    asked = len(local.asked)
    with pytest.raises(IssuerDown):  # not asked again at once
        issuer.bearer(local.token())
    assert len(local.asked) == asked


@pytest.mark.parametrize(
    "discovery",
    [{"issuer": "https://evil.example"}, {"jwks_uri": "file:///etc/passwd"}, {"token_endpoint": "http://evil.example"}],
)
def test_an_issuer_that_names_others_is_not_followed(local: LocalIssuer, discovery: dict[str, str]) -> None:
    local.discovery = discovery
    with pytest.raises(IssuerDown, match="set up wrongly"):
        issuer_of(local).bearer(local.token())


@pytest.mark.anyio
@pytest.mark.parametrize("roles_in_identity", [True, False])
async def test_a_browser_logs_in_at_the_issuer(local: LocalIssuer, tmp_path: Path, roles_in_identity: bool) -> None:
    local.roles, local.roles_in_identity = ["reviewer"], roles_in_identity
    running = Running(Access(issuer=issuer_of(local), public_url="https://tavr.example"), tmp_path)
    async with running.browser() as browser:
        there = await browser.get("/tavr/login/oidc?next=/ohif/tavr?a=b")
        question = {k: v[0] for k, v in parse_qs(urlsplit(there.headers["location"]).query).items()}
        assert question["code_challenge_method"] == "S256"
        assert question["redirect_uri"] == "https://tavr.example/tavr/login/callback"
        assert "SameSite=lax" in there.headers["set-cookie"]
        back = urlsplit(httpx.get(there.headers["location"]).headers["location"])
        done = await browser.get(f"{back.path}?{back.query}")
        assert (done.status_code, 'url=/ohif/tavr?a=b"' in done.text) == (200, True)
        assert (await browser.get("/tavr/status")).json() == {"name": "anna", "roles": ["annotator", "reviewer"], "auth": "oidc"}
        again = await browser.get(f"{back.path}?{back.query}")  # the same code once more
        assert again.status_code == 400
    assert running.recorded() == [("anna", "login.accepted")]


@pytest.mark.anyio
async def test_a_login_begun_elsewhere_is_refused(local: LocalIssuer, tmp_path: Path) -> None:
    running = Running(Access(issuer=issuer_of(local)), tmp_path)

    async def begin(browser: httpx.AsyncClient) -> dict[str, str]:
        there = (await browser.get("/tavr/login/oidc")).headers["location"]
        back = urlsplit(httpx.get(there).headers["location"])
        return {k: v[0] for k, v in parse_qs(back.query).items()}

    async with running.browser() as victim, running.browser() as attacker:
        foreign = await begin(attacker)
        assert (await victim.get("/tavr/login/callback", params=foreign)).status_code == 400  # no login begun here
        own = await begin(victim)
        for wrong in ({"state": foreign["state"]}, {"state": ""}, {"state": "é"}, {"state": own["state"], "code": ""}):
            answer = await victim.get("/tavr/login/callback", params={**own, **wrong})
            assert answer.status_code in (400, 403), wrong
        answer = await victim.get("/tavr/login/callback", params={**own, "code": foreign["code"]})  # its verifier is another
        assert (answer.status_code, "refuses this login" in answer.text) == (403, True)
        for cookie in ("", "x", jwt.encode({"state": own["state"]}, b"k" * 32, "HS256"), jwt.encode({}, None, "none")):
            headers = {"cookie": f"tavr_login={cookie}"}
            async with running.browser() as other:
                assert (await other.get("/tavr/login/callback", params=own, headers=headers)).status_code == 400
        victim.cookies.delete("tavr_login")
        assert (await victim.get("/tavr/status", headers={"accept": "*/*"})).status_code == 401


@pytest.mark.anyio
async def test_a_user_without_a_role_stays_outside(local: LocalIssuer, tmp_path: Path) -> None:
    local.roles = ["nurse"]
    running = Running(Access(issuer=issuer_of(local)), tmp_path)
    async with running.browser() as browser:
        back = urlsplit(httpx.get((await browser.get("/tavr/login/oidc")).headers["location"]).headers["location"])
        answer = await browser.get(f"{back.path}?{back.query}")
        assert (answer.status_code, "no role here" in answer.text) == (403, True)
    async with running.program(local.token()) as client:
        assert "no role here" in (await client.get("/tavr/status")).json()["detail"]
    assert running.recorded() == [("-", "login.refused")] * 2


@pytest.mark.anyio
async def test_programs_send_the_issuers_token_or_a_password(local: LocalIssuer, tmp_path: Path) -> None:
    running = Running(Access(issuer=issuer_of(local)), tmp_path)
    async with running.program(local.token()) as client:
        assert (await client.get("/tavr/status")).json()["auth"] == "oidc"
        assert (await client.post("/train/tavr_keypoints")).status_code == 403
    async with running.program() as client:
        assert (await client.get("/auth/")).json() == {"enabled": True, "client_id": CLIENT, "realm": local.url}
        entered = {"username": "berta", "password": PASSWORD, "grant_type": "password"}
        given = (await client.post("/auth/token", data=entered)).json()
        headers = {"authorization": f"{given['token_type']} {given['access_token']}"}
        assert (await client.get("/auth/token/valid", headers=headers)).json()["username"] == "berta"
        statuses = [(await client.post("/auth/token", data={**entered, "password": "x"})).status_code for _ in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        assert (await client.post("/auth/token", data=entered)).status_code == 429  # guessing stops, even at the right one
    assert PASSWORD not in running.audit.read_text()


@pytest.mark.anyio
async def test_tokens_of_the_file_work_beside_an_issuer(
    local: LocalIssuer, tmp_path: Path, tokens: tuple[TokenFile, dict[str, str]]
) -> None:
    file, token_of = tokens
    running = Running(Access(issuer=issuer_of(local), tokens=file), tmp_path)
    local.fails = True
    async with running.program(token_of["admin"]) as client:
        assert (await client.get("/tavr/status")).json()["name"] == "admin-1"
    async with running.program(local.token()) as client:
        answer = await client.get("/tavr/status")
        assert (answer.status_code, "try again later" in answer.text) == (503, True)
    async with running.browser() as browser:
        answer = await browser.get("/tavr/login/oidc")
        assert (answer.status_code, "does not answer" in answer.text) == (503, True)
