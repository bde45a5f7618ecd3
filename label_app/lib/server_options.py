"""Options of the command line as arguments of :func:`label_app.server.serve`."""

from __future__ import annotations

import argparse
from typing import Any

from label_app.lib.auth.options import build_access

__all__ = ["server_options"]


def server_options(args: argparse.Namespace) -> dict[str, Any]:
    """What the options of :mod:`monai_tavr.commands.server_options` ask for.

    Raises:
        ValueError: they do not fit together, or a file cannot be used; says what to do.
    """
    return {
        "studies": args.studies,
        "labels": args.labels,
        "access": build_access(args),
        "port": args.port,
        "ssl_keyfile": args.tls_key,
        "ssl_certfile": args.tls_cert,
    }
