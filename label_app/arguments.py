"""Options of ``serve``: what is served, where, and who may connect; the server's own command line has the same."""

from __future__ import annotations

import argparse

__all__ = ["TEACHER_BELOW", "add_server_arguments"]

TEACHER_BELOW = 100
"""Labelled frames below which the unlabelled cines join a training, unless the server is told otherwise."""


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """What is served and where, logins, encryption, and what stands in front; short names are `monailabel start_server`'s."""
    studies = "folder of DICOM files, never written to; or DICOMweb address"
    parser.add_argument("-s", "--studies", required=True, metavar="FOLDER|URL", help=studies)
    parser.add_argument("-l", "--labels", metavar="FOLDER", help="folder for labels, models, audit log (default: STUDIES-labels)")
    parser.add_argument("-i", "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("-p", "--port", type=int, default=8000, help="port to listen on (default: 8000)")
    parser.add_argument(
        "--teacher-below",
        type=_whole,
        default=TEACHER_BELOW,
        metavar="N",
        help="a training on fewer labelled frames also learns from the unlabelled cines; 0: none does (default: %(default)s)",
    )
    _add_access_arguments(parser)


def _whole(text: str) -> int:
    """A whole number from 0; for argparse's ``type``. Raises ArgumentTypeError for anything else."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def _add_access_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who may connect", "beyond this machine: a login and encryption; docs/administrators.md")
    group.add_argument("--token-file", metavar="FILE", help="who may log in with a token; see `monai-tavr token --help`")
    group.add_argument("--tls-cert", "--ssl_certfile", metavar="FILE", help="certificate (chain) in PEM format: serve HTTPS")
    group.add_argument("--tls-key", "--ssl_keyfile", metavar="FILE", help="its private key in PEM format")
    group.add_argument("--public-url", metavar="URL", help="address that browsers see, where a proxy stands in front")
    group.add_argument("--insecure-http", action="store_true", help="serve other machines without encryption (private networks)")
    group.add_argument("--oidc-issuer", metavar="URL", help="log in at this OpenID Connect issuer")
    group.add_argument("--oidc-client-id", metavar="ID", help="this server's name at the issuer")
    group.add_argument("--oidc-client-secret-file", metavar="FILE", help="its secret there; none for a public client")
    group.add_argument("--oidc-audience", metavar="NAME", help="whom access tokens must be meant for (default: the client id)")
    group.add_argument("--oidc-name-claim", metavar="CLAIM", default="preferred_username", help="default: %(default)s")
    group.add_argument(
        "--oidc-role-claim", metavar="CLAIM", default="realm_access#roles", help="'#' leads into objects (default: %(default)s)"
    )
    group.add_argument(
        "--oidc-role",
        metavar="THEIRS=OURS",
        action="append",
        help="a role at the issuer that means annotator, reviewer or admin here; repeat it (default: the same names)",
    )
