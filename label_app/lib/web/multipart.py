"""The answer of an inference as MONAI Label's clients expect it: the label JSON, and a file that 3D Slicer loads as markups."""

from __future__ import annotations

import json
from pathlib import Path

from fastapi.responses import Response
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from requests_toolbelt import MultipartEncoder  # type: ignore[import-untyped]

from label_app.lib.models.record import TASK
from monai_tavr.formats.label_json import label_to_dict
from monai_tavr.formats.slicer_markups import VolumeGrid, markups_from_label
from monai_tavr.label import CineLabel

__all__ = ["multipart_answer"]

_FILE = f"{TASK}.mrk.json"  # Slicer's module loads what ends in .json as markups


def multipart_answer(label: CineLabel, path: Path) -> Response:
    """``multipart/form-data`` with the parts ``params`` (label JSON) and ``file`` (markups).

    Args:
        label: what was predicted.
        path: the image's first file, which says where Slicer puts the points.

    Raises:
        MONAILabelException: 3D Slicer could not open the image, so that there is nowhere to put the points.
    """
    try:
        grid = VolumeGrid.of_file(path)
    except ValueError as error:  # it names the path, and file names of hospitals carry patients' names
        words = "GDCM, which 3D Slicer reads DICOM with, cannot read this image; ask for the label alone, output=json"
        raise MONAILabelException(MONAILabelError.INVALID_INPUT, words) from error
    markups = markups_from_label(label, grid=grid)
    fields = {
        "params": (None, json.dumps(label_to_dict(label)), "application/json"),
        "file": (_FILE, json.dumps(markups), "application/json"),
    }
    body = MultipartEncoder(fields=fields)
    return Response(body.to_string(), media_type=body.content_type)
