"""The studies folder as MONAI Label's datastore: registered images by id, and nothing else.

MONAI Label's own ``LocalDatastore`` sees one flat folder and writes its index, a lock and label folders into it. Here images
are found in sub-folders by their UIDs, and the folder stays as it is. An id that is not registered is refused before any path
is made.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, NoReturn

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelError, MONAILabelException

from label_app.lib.datastores.study_index import ImageEntry, StudyIndex

__all__ = ["CineFolderDatastore"]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class CineFolderDatastore(Datastore):
    """Read-only view of the images in a :class:`StudyIndex`."""

    def __init__(self, index: StudyIndex) -> None:
        self.index = index

    def name(self) -> str:
        return "Studies folder"

    def description(self) -> str:
        return "X-ray angiography cines of a local folder"

    def set_name(self, name: str) -> NoReturn:
        _refuse("renaming the store")

    def set_description(self, description: str) -> NoReturn:
        _refuse("describing the store anew")

    def entry(self, image_id: str) -> ImageEntry:
        """The registered image.

        Raises:
            MONAILabelException: the id is not a plain name, or not registered.
        """
        _check_name(image_id, "image")
        found = self.index.find_image(image_id)
        if found is None:
            raise ImageNotFoundException("no such image; GET /datastore/?output=all lists the registered ids")
        return found

    def get_image_uri(self, image_id: str) -> str:
        """Path of the image's file, or of its first file."""
        return str(self.entry(image_id).paths[0])

    def get_image(self, image_id: str, params: dict[str, Any] | None = None) -> io.BytesIO:
        return io.BytesIO(Path(self.get_image_uri(image_id)).read_bytes())

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        entry = self.entry(image_id)
        return {
            "frames": entry.number_of_frames,
            "study_instance_uid": entry.instances[0].study_uid,
            "series_instance_uid": entry.instances[0].series_uid,
            "sop_instance_uids": [i.sop_uid for i in entry.instances],
        }

    def list_images(self) -> list[str]:
        return list(self.index.images)

    def refresh(self) -> None:
        self.index.refresh()

    def status(self) -> dict[str, Any]:
        return {"total": len(self.list_images()), "completed": 0, "label_tags": {}, "train": []}

    def json(self) -> dict[str, Any]:
        objects = {i: {"image": {"ext": ".dcm", "info": self.get_image_info(i)}, "labels": {}} for i in self.list_images()}
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def datalist(self) -> list[dict[str, Any]]:
        return []

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return []

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return self.list_images()

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        self.entry(image_id)
        return {}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        return self._no_label(image_id, tag)

    def get_label(self, label_id: str, label_tag: str, params: dict[str, Any] | None = None) -> Any:
        return self._no_label(label_id, label_tag)

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        return self._no_label(label_id, label_tag)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        return self._no_label(label_id, label_tag)

    def _no_label(self, label_id: str, tag: str) -> NoReturn:
        _check_name(label_id, "label")
        _check_name(tag, "tag")
        raise LabelNotFoundException("no such label; this store holds images only")

    def get_dataset_archive(self, limit_cases: int | None) -> NoReturn:
        _refuse("downloading the whole store")

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> NoReturn:
        _refuse("adding an image")

    def remove_image(self, image_id: str) -> NoReturn:
        _refuse("removing an image")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> NoReturn:
        _refuse("saving a label")

    def remove_label(self, label_id: str, label_tag: str) -> NoReturn:
        _refuse("removing a label")

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Nothing is kept: MONAI Label notes here when an image was proposed to an annotator."""
        self.entry(image_id)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> NoReturn:
        _refuse("changing a label")


def _check_name(name: str, what: str) -> None:
    if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name) or ".." in name:
        raise MONAILabelException(
            MONAILabelError.INVALID_INPUT, f"the {what} is not an id: letters, digits, '.', '_' and '-' only"
        )


def _refuse(what: str) -> NoReturn:
    raise MONAILabelException(MONAILabelError.INVALID_INPUT, f"{what} is not offered: the studies folder is read-only")
