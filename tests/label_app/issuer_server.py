"""A small OpenID Connect issuer on this machine, with real keys: discovery, keys, authorize, token (code with PKCE, password)."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CLIENT = "tavr"
PASSWORD = "correct horse"  # noqa: S105


class LocalIssuer:
    """Signs what a test asks for. ``user`` is who sits at its login page."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.keys = {"r1": self.rsa, "e1": self.ec}
        self.user: dict[str, Any] = {"sub": "0001", "preferred_username": "anna"}
        self.roles = ["annotator"]
        self.roles_in_identity = True
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.fails = False
        self.discovery: dict[str, Any] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/realms/hospital"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good access token says, changed; None removes."""
        now = int(time.time())
        good = {"iss": self.url, "aud": CLIENT, "exp": now + 300, "iat": now, "realm_access": {"roles": self.roles}, **self.user}
        return {k: v for k, v in {**good, **changes}.items() if v is not None}

    def token(self, *, kid: str = "r1", **changes: Any) -> str:
        """A signed token."""
        key = self.keys[kid]
        algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        return jwt.encode(self.claims(**changes), key, algorithm=algorithm, headers={"kid": kid})

    def jwks(self) -> dict[str, Any]:
        keys = []
        for kid, key in self.keys.items():
            kind = jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
            keys.append({**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"})
        return {"keys": keys}

    def authorize(self, question: dict[str, str]) -> str:
        """The user has logged in: where the browser goes next."""
        code = f"code{len(self.codes)}"
        self.codes[code] = question
        return f"{question['redirect_uri']}?{urlencode({'code': code, 'state': question['state']})}"

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if form["grant_type"] == "password":
            if form["password"] != PASSWORD:
                return 401, {"error": "invalid_grant"}
            return 200, {"access_token": self.token(preferred_username=form["username"]), "token_type": "Bearer"}
        question = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if question is None or question["code_challenge"] != challenge or question["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        there = {} if self.roles_in_identity else {"realm_access": None}
        return 200, {"id_token": self.token(nonce=question["nonce"], **there), "access_token": self.token()}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                issuer.asked.append(parts.path.rpartition("/")[2])
                if parts.path.endswith("/authorize"):
                    question = {k: v[0] for k, v in parse_qs(parts.query).items()}
                    self.send_response(302)
                    self.send_header("location", issuer.authorize(question))
                    self.end_headers()
                elif parts.path.endswith("/openid-configuration"):
                    ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/certs"}
                    self.answer(200, {"issuer": issuer.url, **{k: issuer.url + v for k, v in ends.items()}, **issuer.discovery})
                else:
                    self.answer(200, issuer.jwks())

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                self.answer(*issuer.exchange({k: v[0] for k, v in form.items()}))

            def answer(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(500 if issuer.fails else status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler
