"""Login at an OpenID Connect issuer (Keycloak, Entra ID, ...): its signed tokens say who somebody is and which roles they have.

OpenID Connect Core 1.0, Discovery 1.0; authorization code with PKCE (RFC 7636); best practice for JSON web tokens of RFC 8725:
the algorithm comes from the issuer's key, never from the token, and only RS256 and ES256 are taken.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import jwt

from label_app.lib.auth.loopback import is_loopback
from label_app.lib.auth.user import ROLES, User, check_name, roles_up_to

__all__ = ["Issuer", "IssuerDown", "IssuerOptions", "LoginRefused", "challenge_of"]

logger = logging.getLogger(__name__)

_ALGORITHMS = ("RS256", "ES256")
_REQUIRED = ["exp", "iss", "aud", "sub"]
_LEEWAY_SECONDS = 30  # clocks of two machines
_TIMEOUT_SECONDS = 5.0
_KEEP_SECONDS = 300.0  # the issuer's keys and addresses
_RETRY_SECONDS = 5.0  # an issuer that does not answer is asked again after this


class LoginRefused(ValueError):
    """The token or the login is not accepted; says why."""


class IssuerDown(RuntimeError):
    """The issuer does not answer, or answers nonsense."""


@dataclass(frozen=True)
class IssuerOptions:
    """Whom to believe, and where to find roles.

    Args:
        issuer: URL of the issuer, exactly as it stands in its tokens (``iss``).
        client_id: this server's name at the issuer.
        audience: who access tokens are meant for (``aud``); the client id unless given.
        client_secret: None for a public client.
        name_claim: claim with the user's name.
        role_claim: claim with the roles; ``#`` leads into objects, as in MONAI Label.
        roles: name of a role at the issuer -> role here.

    Raises:
        ValueError: the address is no HTTPS one, the client has no id, or a role is unknown.
    """

    issuer: str
    client_id: str
    audience: str = ""
    client_secret: str | None = field(default=None, repr=False)
    name_claim: str = "preferred_username"
    role_claim: str = "realm_access#roles"
    roles: Mapping[str, str] = field(default_factory=lambda: {role: role for role in ROLES})

    def __post_init__(self) -> None:
        _check_url(self.issuer, "the issuer")
        if not self.client_id:
            raise ValueError("an OIDC issuer needs --oidc-client-id, this server's name there")
        for role in self.roles.values():
            roles_up_to(role)


class Issuer:
    """Validates an issuer's tokens and logs users in there.

    Args:
        options: whom to believe.
    """

    def __init__(self, options: IssuerOptions) -> None:
        self.options = options
        self._ssl = ssl.create_default_context()
        self._lock = threading.Lock()
        self._found: dict[str, Any] = {}
        self._keys: jwt.PyJWKClient | None = None
        self._ask_again = 0.0

    def bearer(self, token: str) -> User:
        """Who sends an access token.

        Raises:
            LoginRefused: it is not valid, or its user has no role here.
            IssuerDown: the issuer's keys cannot be had.
        """
        return self._user(self._claims(token, self.options.audience or self.options.client_id))

    def login_url(self, *, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        """Where a browser goes to log in.

        Raises:
            IssuerDown: the issuer does not answer.
        """
        question = {
            "response_type": "code",
            "client_id": self.options.client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = self._address("authorization_endpoint")
        return f"{address}{'&' if '?' in address else '?'}{urlencode(question)}"

    def login(self, code: str, *, redirect_uri: str, verifier: str, nonce: str) -> User:
        """Who has logged in: exchanges the code that the issuer gave the browser.

        Raises:
            LoginRefused: the issuer or the checks say no.
            IssuerDown: the issuer does not answer.
        """
        answer = self._exchange(
            {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
        )
        identity = self._claims(str(answer.get("id_token", "")), self.options.client_id)
        if identity.get("nonce") != nonce:
            raise LoginRefused("the identity token belongs to another login")
        if _at(identity, self.options.role_claim) is not None:
            return self._user(identity)
        # Keycloak writes roles into the access token only, unless told otherwise
        access = self._claims(str(answer.get("access_token", "")), self.options.audience or self.options.client_id)
        if access["sub"] != identity["sub"]:
            raise LoginRefused("the access token belongs to somebody else")
        return self._user(identity, roles_from=access)

    def password(self, name: str, password: str) -> dict[str, Any]:
        """An access token for a name and a password, for MONAI Label's clients; the issuer must allow direct access grants.

        Raises:
            LoginRefused: the issuer says no, or its token is not valid here.
            IssuerDown: the issuer does not answer.
        """
        answer = self._exchange({"grant_type": "password", "username": name, "password": password, "scope": "openid profile"})
        self.bearer(str(answer.get("access_token", "")))
        return {"access_token": answer["access_token"], "token_type": "Bearer", "expires_in": answer.get("expires_in")}

    def _user(self, claims: Mapping[str, Any], *, roles_from: Mapping[str, Any] | None = None) -> User:
        found = _at(claims if roles_from is None else roles_from, self.options.role_claim)
        names = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        held = {self.options.roles[n] for n in names if isinstance(n, str) and n in self.options.roles}
        if not held:
            raise LoginRefused(
                f"this user has no role here; the administrator of logins can give one of {', '.join(self.options.roles)}"
            )
        return User(self._name(claims), roles_up_to(max(held, key=ROLES.index)))

    def _name(self, claims: Mapping[str, Any]) -> str:
        """The user's name; one with characters that files and logs cannot hold gets others, and a mark that keeps it apart."""
        name = str(claims.get(self.options.name_claim) or claims["sub"])
        try:
            return check_name(name)
        except ValueError:
            mark = hashlib.sha256(f"{claims['iss']}\0{claims['sub']}".encode()).hexdigest()[:8]
            plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
            return check_name(f"u{plain[:50]}.{mark}" if not plain[:1].isalnum() else f"{plain[:50]}.{mark}")

    def _claims(self, token: str, audience: str) -> dict[str, Any]:
        try:
            key = self._key_client().get_signing_key_from_jwt(token)
            if key.algorithm_name not in _ALGORITHMS:
                raise LoginRefused(f"the issuer signs with {key.algorithm_name}; {' or '.join(_ALGORITHMS)} is accepted")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=audience,
                issuer=self.options.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
            return claims
        except jwt.PyJWKClientConnectionError as error:
            raise IssuerDown("the login server's keys cannot be had; try again later") from error
        except LoginRefused:
            raise
        except jwt.ExpiredSignatureError as error:
            raise LoginRefused("the token has expired; log in again") from error
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            # what the token holds stays out of the answer and the log
            raise LoginRefused(f"the token is not valid ({type(error).__name__})") from error

    def _key_client(self) -> jwt.PyJWKClient:
        """Fetches the keys when they are first needed, every few minutes, and for an unknown key at most twice a minute."""
        address = self._address("jwks_uri")
        with self._lock:
            if self._keys is None or self._keys.uri != address:
                self._keys = jwt.PyJWKClient(address, lifespan=_KEEP_SECONDS, timeout=_TIMEOUT_SECONDS, ssl_context=self._ssl)
            return self._keys

    def _address(self, name: str) -> str:
        """One of the issuer's addresses, from its discovery document."""
        with self._lock:
            now = time.monotonic()
            if now >= self._ask_again:
                self._ask_again = now + _RETRY_SECONDS
                try:
                    self._found = self._discover()
                    self._ask_again = now + _KEEP_SECONDS
                except IssuerDown:
                    if not self._found:  # what it said before still holds
                        raise
        if name not in self._found:
            raise IssuerDown("the login server does not answer; try again later")
        return str(self._found[name])

    def _discover(self) -> dict[str, Any]:
        address = self.options.issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = self._ask("GET", address)
        if found.get("issuer") != self.options.issuer:
            logger.error("%s says that it is another issuer: give --oidc-issuer exactly as its tokens do", address)
            raise IssuerDown("the login server is set up wrongly; the log says more")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            try:
                _check_url(str(found.get(name)), name)
            except ValueError as error:
                logger.error("%s: %s", address, error)
                raise IssuerDown("the login server is set up wrongly; the log says more") from error
        return found

    def _exchange(self, form: dict[str, str]) -> dict[str, Any]:
        who = {"client_id": self.options.client_id}
        if self.options.client_secret is not None:
            who["client_secret"] = self.options.client_secret
        return self._ask("POST", self._address("token_endpoint"), {**form, **who})

    def _ask(self, method: str, address: str, form: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            with httpx.Client(verify=self._ssl, timeout=_TIMEOUT_SECONDS, follow_redirects=False) as client:
                answer = client.request(method, address, data=form, headers={"Accept": "application/json"})
            if answer.status_code in (400, 401, 403) and form is not None:
                raise LoginRefused("the login server refuses this login")
            answer.raise_for_status()
            content = answer.json()
        except (httpx.HTTPError, RecursionError, ValueError) as error:
            if isinstance(error, LoginRefused):
                raise
            logger.warning("the OIDC issuer failed at %s: %s", urlsplit(address).path, type(error).__name__)
            raise IssuerDown("the login server does not answer; try again later") from error
        if not isinstance(content, dict):
            raise IssuerDown("the login server answers nonsense; try again later")
        return content


def challenge_of(verifier: str) -> str:
    """PKCE's S256 challenge of a verifier."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _at(claims: Mapping[str, Any], path: str) -> Any:
    found: Any = claims
    for name in path.split("#"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _check_url(url: str, what: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise ValueError(f"{what} must be an https:// address, got {url[:200]!r}")
    return url
