"""REST of the images: which there are, how far each is labelled, and frames as pictures for pages that decode no DICOM."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from label_app.lib.dicomweb.frames import rendered_frame
from label_app.lib.images.cine_files import UNREADABLE, open_instances, reason_of
from label_app.lib.images.patients import PatientKeys
from label_app.lib.images.study_index import ImageEntry, StudyIndex
from label_app.lib.labels.store import LabelStore
from label_app.lib.web.registered import registered_image
from monai_tavr.formats.label_json import image_to_dict

__all__ = ["image_router"]

# frames never change under their UID
_CACHE = {"Cache-Control": "private, max-age=3600"}


def image_router(index: StudyIndex, store: LabelStore, patients: PatientKeys) -> APIRouter:
    """The routes over an index and the labels of its images."""
    router = APIRouter()

    @router.get("/tavr/images")
    def images() -> list[dict[str, Any]]:
        """All images: frames, how many are labelled, version of the label, and a key that is the same for one patient."""
        index.refresh()
        return [_listed(entry, store, patients) for entry in index.images.values()]

    @router.get("/tavr/images/{name}")
    def image(name: str) -> dict[str, Any]:
        """The registered image that an instance belongs to; which instance and frame (0-based) each of its frames is; the block
        ``image`` of its label file; remarks for whoever looks at it.
        """
        entry = registered_image(index, name)
        counted = [(i.sop_uid, f) for i in entry.instances for f in range(i.number_of_frames)]
        return {
            "id": entry.image_id,
            "study": entry.instances[0].study_uid,
            "series": entry.instances[0].series_uid,
            "frames": [{"sop_instance_uid": sop, "frame": f} for sop, f in counted],
            **_what_the_file_says(entry),
        }

    @router.get("/tavr/frames/{name}/{frame}.png")
    def frame(name: str, frame: int) -> Response:
        """A frame (0-based) as an 8-bit grey picture, as a monitor shows it."""
        entry = registered_image(index, name)
        if not 0 <= frame < entry.number_of_frames:
            raise HTTPException(404, f"there is no frame {frame}; the image has frames 0 to {entry.number_of_frames - 1}")
        single = len(entry.instances) == 1
        instance, number = (entry.instances[0], frame) if single else (entry.instances[frame], 0)
        try:
            content = rendered_frame(instance, number, image_format="PNG")
        except UNREADABLE as error:
            raise HTTPException(422, f"frame {frame} cannot be shown: {reason_of(error)}") from error
        return Response(content, media_type="image/png", headers=_CACHE)

    return router


def _listed(entry: ImageEntry, store: LabelStore, patients: PatientKeys) -> dict[str, Any]:
    current = store.current(entry.image_id)
    return {
        "id": entry.image_id,
        "study": entry.instances[0].study_uid,
        "series": entry.instances[0].series_uid,
        "frames": entry.number_of_frames,
        "labelled_frames": len(current.frames) if current else 0,
        "version": current.number if current else 0,
        "patient": patients.key(entry),
    }


def _what_the_file_says(entry: ImageEntry) -> dict[str, Any]:
    """``image``, None where the file cannot be read, and ``remarks``."""
    try:
        info = open_instances(entry.instances).info
    except (ValueError, OSError):
        return {"image": None, "remarks": []}
    return {"image": image_to_dict(info.image_info), "remarks": list(info.remarks)}
