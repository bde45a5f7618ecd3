"""Grouped keypoints on TAVR X-ray angiography, as a MONAI bundle with a MONAI Label app.

What users import is listed here and described in ``docs/api.md``; other modules are the inside of the house and may change.
Importing the package is cheap: names that need torch, MONAI, pydicom or OpenCV are loaded when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_tavr import former_paths
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState, Stage, load_schema
from monai_tavr.lazy import look_up_in

if TYPE_CHECKING:
    from monai_tavr.bundle import Bundle
    from monai_tavr.cine import Cine, CineError, CineInfo
    from monai_tavr.codec import KeypointCodec
    from monai_tavr.dicom.open import find_cines, open_cine
    from monai_tavr.dicom.writer import XAHeader, write_xa
    from monai_tavr.drawing.overlay import display_window, draw_overlay, frame_rate, to_display, write_gif, write_mp4, write_png
    from monai_tavr.evaluation.metrics import KeypointMetrics, evaluate_keypoints
    from monai_tavr.formats.dicom_sr.report import read_keypoints_sr, write_keypoints_sr
    from monai_tavr.formats.label_json import read_label_json, write_label_json
    from monai_tavr.label import CineLabel, ImageInfo, PointEdit, Revision
    from monai_tavr.networks.grouped import GroupedKeypointNet
    from monai_tavr.phantom.generate import generate_dataset
    from monai_tavr.postprocess import KeypointPostprocess
    from monai_tavr.predictor import FramePrediction, KeypointPredictor
    from monai_tavr.tracking import Tracker, track_between
    from monai_tavr.training.extension import extend_bundle
    from monai_tavr.training.loss import GroupedKeypointLoss

__version__ = "0.1.0"

# module -> the public names that it defines, loaded when a name is first asked for
_LATER = {
    "bundle": ["Bundle"],
    "cine": ["Cine", "CineError", "CineInfo"],
    "codec": ["KeypointCodec"],
    "dicom.open": ["find_cines", "open_cine"],
    "dicom.writer": ["XAHeader", "write_xa"],
    "drawing.overlay": ["display_window", "draw_overlay", "frame_rate", "to_display", "write_gif", "write_mp4", "write_png"],
    "evaluation.metrics": ["KeypointMetrics", "evaluate_keypoints"],
    "formats.dicom_sr.report": ["read_keypoints_sr", "write_keypoints_sr"],
    "formats.label_json": ["read_label_json", "write_label_json"],
    "label": ["CineLabel", "ImageInfo", "PointEdit", "Revision"],
    "networks.grouped": ["GroupedKeypointNet"],
    "phantom.generate": ["generate_dataset"],
    "postprocess": ["KeypointPostprocess"],
    "predictor": ["FramePrediction", "KeypointPredictor"],
    "tracking": ["Tracker", "track_between"],
    "training.extension": ["extend_bundle"],
    "training.loss": ["GroupedKeypointLoss"],
}

__all__ = [
    "TAVR11",
    "Bundle",
    "Cine",
    "CineError",
    "CineInfo",
    "CineLabel",
    "FramePrediction",
    "GroupedKeypointLoss",
    "GroupedKeypointNet",
    "ImageInfo",
    "KeypointCodec",
    "KeypointMetrics",
    "KeypointPostprocess",
    "KeypointPredictor",
    "KeypointSchema",
    "KeypointState",
    "Keypoints",
    "PointEdit",
    "Revision",
    "Stage",
    "Tracker",
    "XAHeader",
    "__version__",
    "display_window",
    "draw_overlay",
    "evaluate_keypoints",
    "extend_bundle",
    "find_cines",
    "frame_rate",
    "generate_dataset",
    "load_schema",
    "open_cine",
    "read_keypoints_sr",
    "read_label_json",
    "to_display",
    "track_between",
    "write_gif",
    "write_keypoints_sr",
    "write_label_json",
    "write_mp4",
    "write_png",
    "write_xa",
]

former_paths.install()

__getattr__ = look_up_in(__name__, _LATER)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
