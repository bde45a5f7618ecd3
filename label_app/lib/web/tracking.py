"""REST of tracking: the points between two key frames that an annotator has labelled.

Nothing is kept: the answer is a proposal, which the annotator reviews and submits.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from label_app.lib.auth.user import require
from label_app.lib.images.cine_files import open_instances, reason_of
from label_app.lib.images.study_index import ImageEntry, StudyIndex
from label_app.lib.infers.infer_request import parse_groups
from label_app.lib.web.backend import Backend
from label_app.lib.web.registered import registered_image
from monai_tavr import __version__
from monai_tavr.cine import Cine
from monai_tavr.formats.label_json import SCHEMA_ID, image_to_dict, label_from_dict, label_to_dict
from monai_tavr.keypoints import Keypoints, KeypointSchema
from monai_tavr.label import CineLabel, PointEdit

if TYPE_CHECKING:
    from label_app.lib.app import TAVRApp

__all__ = ["track_router"]

_MOST_FRAMES = 200  # between two key frames; a minute of pictures would keep the server busy for everybody else
_KNOWN = {"from", "to", "allowed_groups"}
_AUTHOR = f"monai-tavr {__version__} tracking"


def track_router(index: StudyIndex, backend: Backend) -> APIRouter:
    """The one route, over the registered images."""
    router = APIRouter()
    one_at_a_time = threading.Lock()  # two cines at once would only slow each other down

    @router.post("/tavr/track/{image}")
    async def track(request: Request, image: str) -> Response:
        """The label JSON of the frames between two key frames.

        Body: ``{"from": {"frame": 3, "points": {...}}, "to": {"frame": 15, "points": {...}}}``, points as in label files;
        ``"allowed_groups": [...]`` where the stage of the procedure rules groups out.
        """
        require(request, "annotator")
        entry = registered_image(index, image)
        text = await request.body()
        return await run_in_threadpool(answer, entry, text)

    def answer(entry: ImageEntry, text: bytes) -> Response:
        return backend.answer(lambda app: _answer(app, entry, text, one_at_a_time))

    return router


def _answer(app: TAVRApp, entry: ImageEntry, text: bytes, one_at_a_time: threading.Lock) -> dict[str, Any]:
    """Raises MONAILabelException, which has words and a status, for whatever is wrong with the request or the image."""
    from monailabel.interfaces.exception import MONAILabelError, MONAILabelException

    schema = app.schema
    try:
        cine = open_instances(entry.instances)
        start, end, groups = _parse(text, cine, schema)
        predictions = _predictions(app, entry, start, end, groups) if app.models.active else None
        with one_at_a_time:
            return label_to_dict(_tracked(cine, start, end, predictions))
    except (ValueError, OSError) as error:
        raise MONAILabelException(MONAILabelError.INVALID_INPUT, reason_of(error)) from error


def _parse(text: bytes, cine: Cine, schema: KeypointSchema) -> tuple[Keypoints, Keypoints, list[str] | None]:
    """The two key frames and the allowed groups. Raises ValueError, saying what is wrong with the body."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body must be JSON: {error}") from error
    if not isinstance(body, dict) or not {"from", "to"} <= set(body) <= _KNOWN:
        raise ValueError('the body must be {"from": {"frame": 3, "points": {...}}, "to": {"frame": 15, "points": {...}}}')
    image = image_to_dict(cine.info.image_info)
    keys = []
    for name in ("from", "to"):
        content = {"schema": SCHEMA_ID, "image": image, "frames": [body[name]]}
        keys.append(label_from_dict(content, schema=schema, where=f"'{name}'").frames[0])
    start, end = keys
    if not start.frame < end.frame:
        raise ValueError(f"'from' must lie before 'to', got frames {start.frame} and {end.frame}")
    if end.frame - start.frame - 1 > _MOST_FRAMES:
        raise ValueError(
            f"{end.frame - start.frame - 1} frames lie between the key frames; label one more of them: at most {_MOST_FRAMES}"
        )
    return start, end, parse_groups(body.get("allowed_groups"), schema.group_names)


def _predictions(app: TAVRApp, entry: ImageEntry, start: Keypoints, end: Keypoints, groups: list[str] | None) -> CineLabel:
    """The model's points from key frame to key frame; mostly they are there already."""
    return app.predict(entry.image_id, frames=list(range(start.frame, end.frame + 1)), allowed_groups=groups)


def _tracked(cine: Cine, start: Keypoints, end: Keypoints, predictions: CineLabel | None) -> CineLabel:
    from monai_tavr.tracking import Tracker

    found = Tracker().track(cine, start, end, predictions=predictions)
    names = start.schema.names
    edits = {(t.keypoints.frame, name): PointEdit("model", author=_AUTHOR) for t in found for name in names}
    spread = {(t.keypoints.frame, names[i]): float(t.spread[i]) for t in found for i in t.keypoints.visible.nonzero()[0]}
    return CineLabel(image=cine.info.image_info, frames=tuple(t.keypoints for t in found), edits=edits, spread=spread)
