"""MONAI Label's own Python client, which 3D Slicer's module uses as well; here it closes its connections."""

from __future__ import annotations

import warnings
from http.client import HTTPConnection
from typing import Any

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    from monailabel.client import MONAILabelClient
    from monailabel.client.client import MONAILabelClientException, MONAILabelUtils

__all__ = ["MONAILabelClient", "MONAILabelClientException"]

_send_response = MONAILabelUtils.send_response


def _closing(connection: HTTPConnection, *arguments: Any) -> Any:
    """MONAI Label opens a connection for each request, reads the whole answer, and leaves the rest to Python."""
    try:
        return _send_response(connection, *arguments)
    finally:
        connection.close()


MONAILabelUtils.send_response = staticmethod(_closing)
