"""How a server may be reached, and what it takes to be let in."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from label_app.lib.auth.loopback import is_loopback
from label_app.lib.auth.oidc import Issuer
from label_app.lib.auth.tokens import TokenFile

__all__ = ["Access"]


@dataclass(frozen=True)
class Access:
    """Address, logins and encryption of a server; refuses what would be open to strangers.

    Args:
        host: the address the server binds to.
        tokens: whose tokens are accepted.
        issuer: the OIDC issuer whose users may log in.
        public_url: what browsers see where a proxy stands in front, ``https://tavr.hospital.example``.
        tls: whether the server itself encrypts.
        insecure_http: whether to serve other machines without encryption all the same.

    Raises:
        ValueError: other machines could connect without a login or without encryption; says what to do.
    """

    host: str = "127.0.0.1"
    tokens: TokenFile | None = None
    issuer: Issuer | None = None
    public_url: str | None = None
    tls: bool = False
    insecure_http: bool = False

    def __post_init__(self) -> None:
        if self.public_url is not None:
            _check_public_url(self.public_url)
        if self.local:
            return
        reached = f"--host {self.host}" if self.public_url is None else "--public-url"
        if self.kind == "none":
            raise ValueError(
                f"with {reached} other machines can connect: say who may, with --token-file FILE (make one with "
                "`monai-tavr token add NAME --role annotator --file FILE`) or with --oidc-issuer URL"
            )
        if self.issuer is not None and self.public_url is None:
            raise ValueError("logging in at an OIDC issuer needs --public-url URL, the address that browsers see")
        if not (self.encrypted or self.insecure_http):
            raise ValueError(
                f"with {reached} images and logins would cross the network unencrypted: give --tls-cert FILE and --tls-key FILE, "
                "or --public-url https://... where a proxy encrypts, or --insecure-http if the network itself is private"
            )

    @property
    def local(self) -> bool:
        """Whether only this machine can connect, through no proxy."""
        return is_loopback(self.host) and self.public_url is None

    @property
    def encrypted(self) -> bool:
        """Whether browsers speak HTTPS, to the server or to the proxy."""
        return self.tls or (self.public_url or "").startswith("https://")

    @property
    def kind(self) -> str:
        """``none``, ``token`` or ``oidc``."""
        if self.issuer is not None:
            return "oidc"
        return "none" if self.tokens is None else "token"

    @property
    def host_names(self) -> frozenset[str] | None:
        """Names that requests may call the server by; None for any, for a server of a network cannot know its names."""
        if not is_loopback(self.host) and self.public_url is None:
            return None
        names = {"127.0.0.1", "::1", "localhost", self.host.lower().strip("[]")}
        if self.public_url is not None:
            names.add(urlsplit(self.public_url).hostname or "")
        return frozenset(names)


def _check_public_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise ValueError(f"--public-url must be https://NAME or https://NAME:PORT, without a path, got {url!r}")
