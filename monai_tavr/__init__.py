"""Grouped keypoints on TAVR X-ray angiography, as a MONAI bundle with a MONAI Label app.

Importing the package is cheap: only the data type is loaded here; everything that needs torch or MONAI lies in its own module.
"""

from __future__ import annotations

from monai_tavr import former_paths
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState, load_schema

__version__ = "0.1.0"

__all__ = ["TAVR11", "KeypointSchema", "KeypointState", "Keypoints", "__version__", "load_schema"]

former_paths.install()
