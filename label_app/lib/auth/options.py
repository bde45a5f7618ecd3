"""Options of the command line that say who may connect, for ``monai-tavr serve`` and ``python -m label_app.server``."""

from __future__ import annotations

import argparse
import ssl
from pathlib import Path

from label_app.lib.auth.access import Access
from label_app.lib.auth.oidc import Issuer, IssuerOptions
from label_app.lib.auth.tokens import TokenFile
from label_app.lib.auth.user import ROLES

__all__ = ["build_access"]


def build_access(args: argparse.Namespace) -> Access:
    """What the options of :mod:`label_app.arguments` ask for.

    Raises:
        ValueError: the options do not fit together, or a file cannot be used; says what to do.
    """
    if (args.tls_cert is None) != (args.tls_key is None):
        raise ValueError("--tls-cert and --tls-key belong together")
    for path in (args.tls_cert, args.tls_key):
        if path is not None and not Path(path).is_file():
            raise ValueError(f"{path} is not a file; --tls-cert and --tls-key name files in PEM format")
    if args.tls_cert is not None:
        _check_certificate(args.tls_cert, args.tls_key)
    return Access(
        host=args.host,
        tokens=_tokens(args.token_file),
        issuer=_issuer(args),
        public_url=args.public_url,
        tls=args.tls_cert is not None,
        insecure_http=args.insecure_http,
    )


def _check_certificate(certificate: str, key: str) -> None:
    try:
        # an empty password, or OpenSSL would wait for one to be typed
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise ValueError(
            f"{certificate} and {key} are no certificate and its key, in PEM format and without a password: {error.strerror}"
        ) from error


def _tokens(path: str | None) -> TokenFile | None:
    if path is None:
        return None
    tokens = TokenFile(path)
    try:
        entries = tokens.entries()
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; make a first token with: monai-tavr token add NAME --role admin --file {path}"
        ) from error
    if all(entry.expired for entry in entries):
        raise ValueError(f"{path} holds no valid token; make one with: monai-tavr token add NAME --role admin --file {path}")
    return tokens


def _issuer(args: argparse.Namespace) -> Issuer | None:
    if args.oidc_issuer is None:
        return None
    secret = None
    if args.oidc_client_secret_file is not None:
        try:
            secret = Path(args.oidc_client_secret_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ValueError(f"--oidc-client-secret-file {args.oidc_client_secret_file}: {error.strerror}") from error
    roles = dict(_role(text) for text in args.oidc_role) if args.oidc_role else {role: role for role in ROLES}
    return Issuer(
        IssuerOptions(
            issuer=args.oidc_issuer,
            client_id=args.oidc_client_id or "",
            audience=args.oidc_audience or "",
            client_secret=secret,
            name_claim=args.oidc_name_claim,
            role_claim=args.oidc_role_claim,
            roles=roles,
        )
    )


def _role(text: str) -> tuple[str, str]:
    """``theirs=ours``."""
    theirs, equals, ours = text.rpartition("=")
    if not equals or not theirs or ours not in ROLES:
        raise ValueError(f"--oidc-role must be NAME_AT_THE_ISSUER={'|'.join(ROLES)}, got {text!r}")
    return theirs, ours
