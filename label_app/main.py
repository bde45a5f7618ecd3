"""What MONAI Label's server loads: it looks for the app's class in the file ``main.py`` of the app's folder."""

from __future__ import annotations

from label_app.lib.app import TAVRApp

__all__ = ["TAVRApp"]
