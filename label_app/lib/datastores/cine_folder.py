"""The studies folder and the labels as MONAI Label's datastore: registered images by id, and their labels by the same id.

MONAI Label's own ``LocalDatastore`` sees one flat folder and writes its index, a lock and label folders into it. Here images
are found in sub-folders by their UIDs, that folder stays as it is, and labels are versions in the label store. An id that is not
registered is refused before any path is made.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelError, MONAILabelException

from label_app.lib.auth.user import local_user
from label_app.lib.images.study_index import ImageEntry, StudyIndex
from label_app.lib.labels.store import FINAL, PREDICTION, LabelConflict, LabelVersion
from label_app.lib.labels.submissions import Submissions

__all__ = ["CineFolderDatastore"]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class CineFolderDatastore(Datastore):
    """The images of a :class:`StudyIndex`, read-only, and their labels.

    Args:
        index: the images.
        submissions: the door of the label store.
    """

    def __init__(self, index: StudyIndex, submissions: Submissions) -> None:
        self.index = index
        self.submissions = submissions
        self.labels = submissions.store

    def name(self) -> str:
        """What clients call the store."""
        return "Studies folder"

    def description(self) -> str:
        """What it holds, in words."""
        return "X-ray angiography cines of a local folder"

    def set_name(self, name: str) -> NoReturn:
        """Refused, as all that would change the store."""
        _refuse("renaming the store")

    def set_description(self, description: str) -> NoReturn:
        """Refused, as all that would change the store."""
        _refuse("describing the store anew")

    def entry(self, image_id: str) -> ImageEntry:
        """The registered image.

        Raises:
            MONAILabelException: the id is not a plain name.
            ImageNotFoundException: it is not registered.
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
        """The bytes of the image's file, or of its first file."""
        return io.BytesIO(Path(self.get_image_uri(image_id)).read_bytes())

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Number of frames, and the UIDs of study, series and instances."""
        entry = self.entry(image_id)
        return {
            "frames": entry.number_of_frames,
            "study_instance_uid": entry.instances[0].study_uid,
            "series_instance_uid": entry.instances[0].series_uid,
            "sop_instance_uids": [i.sop_uid for i in entry.instances],
        }

    def list_images(self) -> list[str]:
        """The ids of the registered images."""
        return list(self.index.images)

    def refresh(self) -> None:
        """Look for new studies."""
        self.index.refresh()

    def status(self) -> dict[str, Any]:
        """How many images there are, how many have a final label, and labels by tag."""
        tags = Counter(tag for i in self.list_images() for tag in self.get_labels_by_image_id(i))
        return {
            "total": len(self.list_images()),
            "completed": len(self.get_labeled_images()),
            "label_tags": dict(tags),
            "train": [],
        }

    def json(self) -> dict[str, Any]:
        """Every image with its labels, as ``GET /datastore/?output=all`` answers."""
        objects = {
            i: {"image": {"ext": ".dcm", "info": self.get_image_info(i)}, "labels": self._labels(i)} for i in self.list_images()
        }
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def _labels(self, image_id: str) -> dict[str, Any]:
        return {t: {"ext": ".json", "info": self.get_label_info(image_id, t)} for t in self.get_labels_by_image_id(image_id)}

    def datalist(self) -> list[dict[str, Any]]:
        """One item per image with a final label: path(s) of the image and path of the label file."""
        found = ((self.entry(i), self._version(i, FINAL)) for i in self.get_labeled_images())
        return [{"id": e.image_id, "image": [str(p) for p in e.paths], "label": str(v.path)} for e, v in found]

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of the images that have a label of the tag, by default a final one."""
        labelled = set(self.labels.images(label_tag or FINAL))
        return [i for i in self.list_images() if i in labelled]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of the images that have none."""
        labelled = set(self.labels.images(label_tag or FINAL))
        return [i for i in self.list_images() if i not in labelled]

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Tag -> id of the label, which is the image's; predictions are left out."""
        entry = self.entry(image_id)
        tags = [t for t in self.labels.tags(entry.image_id) if t != PREDICTION]
        current = {t: self.labels.current(entry.image_id, t) for t in tags}
        return {tag: entry.image_id for tag, version in current.items() if version is not None and version.frames}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """Id of the image's label of a tag; LabelNotFoundException where there is none."""
        return self._version(image_id, tag).image_id

    def get_label(self, label_id: str, label_tag: str, params: dict[str, Any] | None = None) -> io.BytesIO:
        """The bytes of a label file."""
        return io.BytesIO(self._version(label_id, label_tag).path.read_bytes())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Path of the label file; a version never changes."""
        return str(self._version(label_id, label_tag).path)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Who made the current version, when, and its frames."""
        version = self._version(label_id, label_tag)
        return {**version.described(), "frames": list(version.frames)}

    def _version(self, label_id: str, tag: str) -> LabelVersion:
        entry = self.entry(label_id)
        _check_name(tag, "tag")
        try:
            version = self.labels.current(entry.image_id, tag)
        except ValueError as error:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, str(error)) from error
        if version is None or not version.frames:
            raise LabelNotFoundException("no such label")
        return version

    def get_dataset_archive(self, limit_cases: int | None) -> NoReturn:
        """Refused: patient data leave one by one or not at all."""
        _refuse("downloading the whole store")

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> NoReturn:
        """Refused: the studies are read, never changed."""
        _refuse("adding an image")

    def remove_image(self, image_id: str) -> NoReturn:
        """Refused: the studies are read, never changed."""
        _refuse("removing an image")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Keep a label file as the image's next version; ``label_info`` may name the ``user``.

        Raises:
            MONAILabelException: the image is not registered, the label does not fit it, or somebody else was faster.
        """
        entry = self.entry(image_id)
        try:
            user = local_user(str(label_info.get("user") or "local"))
            self.submissions.submit(entry, Path(label_filename).read_bytes(), user=user, base=None, tag=label_tag or FINAL)
        except (ValueError, LabelConflict) as error:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, str(error)) from error
        return entry.image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """The image counts as unlabelled; the versions stay."""
        version = self._version(label_id, label_tag)
        self.submissions.remove(self.entry(version.image_id), user=local_user(), tag=label_tag)

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Nothing is kept: MONAI Label notes here when an image was proposed to an annotator."""
        self.entry(image_id)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> NoReturn:
        """Refused: a version of a label never changes."""
        _refuse("changing a label")


def _check_name(name: str, what: str) -> None:
    if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name) or ".." in name:
        raise MONAILabelException(
            MONAILabelError.INVALID_INPUT, f"the {what} is not an id: letters, digits, '.', '_' and '-' only"
        )


def _refuse(what: str) -> NoReturn:
    raise MONAILabelException(MONAILabelError.INVALID_INPUT, f"{what} is not offered: the studies folder is read-only")
