"""MONAI Label's own Python client, which 3D Slicer's module uses as well."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    from monailabel.client import MONAILabelClient
    from monailabel.client.client import MONAILabelClientException

__all__ = ["MONAILabelClient", "MONAILabelClientException"]
