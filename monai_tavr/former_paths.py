"""Modules that have moved stay importable under their former names: published bundles and configurations pin them.

Nothing is loaded before somebody asks for such a name; who does is told the new one by a DeprecationWarning.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["FORMER", "install"]

FORMER: dict[str, tuple[str, ...]] = {
    "atomic_file": ("files",),
    "augment": ("transforms.appearance",),
    "calibration": ("evaluation.calibration",),
    "datasets": ("training.datasets",),
    "dicom_file": ("dicom.file",),
    "dicom_frames": ("dicom.frames",),
    "dicom_geometry": ("dicom.geometry",),
    "dicom_writer": ("dicom.writer",),
    "framing": ("transforms.framing",),
    "grey_scale": ("dicom.grey_scale",),
    "handlers": ("evaluation.handlers", "transforms.saving", "postprocess"),
    "inferers": ("training.inferers", "devices"),
    "jpeg_check": ("dicom.jpeg",),
    "label_layout": ("drawing.label_layout",),
    "losses": ("training.loss",),
    "metrics": ("evaluation.metrics",),
    "picture_files": ("dicom.pictures",),
    "plots": ("evaluation.plots",),
    "report": ("evaluation.report",),
    "visualize": ("drawing.overlay",),
    "xa_reader": ("dicom.xa_reader",),
}
"""Former module -> where its names are now, both below ``monai_tavr``."""


class _Finder(MetaPathFinder, Loader):
    """Makes a stand-in for a module that has moved; its names are looked up when they are asked for."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == "monai_tavr" and name in FORMER else None

    def exec_module(self, module: ModuleType) -> None:
        places = [f"monai_tavr.{place}" for place in FORMER[module.__name__.rpartition(".")[2]]]
        warnings.warn(f"{module.__name__} has moved to {' and '.join(places)}", DeprecationWarning, stacklevel=2)

        def look_up(name: str) -> Any:
            for place in places:
                found = importlib.import_module(place)
                if name in getattr(found, "__all__", ()):
                    return getattr(found, name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        module.__getattr__ = look_up  # type: ignore[method-assign]


def install() -> None:
    """Let imports find the former names, after everything that really exists."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
