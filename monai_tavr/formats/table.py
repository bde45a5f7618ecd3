"""FORMATS: every label format, what it can do and what it loses. The command line, the server and ``docs/formats.md`` go by it.

Every format is a module with ``read_x(path, *, schema)`` and ``write_x(path, labels)``; a module is imported when its format is
used. A format whose files hold one cine takes and gives one :class:`CineLabel` there; :meth:`Format.read` and
:meth:`Format.write` speak of lists for all.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from monai_tavr.keypoints import TAVR11, KeypointSchema, KeypointState
from monai_tavr.label import CineLabel

__all__ = ["FORMATS", "LOSSES", "Format", "LossWarning", "warn_of_loss"]

# what a label can hold that some format cannot -> words for people
LOSSES: Mapping[str, str] = MappingProxyType(
    {
        "cines": "cines without a labelled frame",
        "absent": "absent points (they come back unlabelled)",
        "blank frames": "frames without a visible point",
        "unlabelled frames": "frames without a labelled point",
        "score": "visibility scores",
        "spread": "spreads, the model's doubt about a place",
        "typical": "whether the model takes a frame for one of a TAVR",
        "edits": "who placed a point, and when",
        "revision": "the revision",
        "name": "the cine's name",
        "pictures": "names of picture files",
        "image": "size, spacing and UIDs of the image (give the image when reading)",
        "spacing": "the spacing",
        "uids": "DICOM UIDs",
        "frame count": "the cine's number of frames",
    }
)


class LossWarning(UserWarning):
    """Something of the labels could not be said in the format they were written in."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One label format.

    Attributes:
        name: what the command line calls it.
        title: for people.
        use: what it is for.
        extensions: of its files, the first is the one that is written; empty for a folder.
        reader, writer: ``module:function`` below ``monai_tavr.formats``, or None where it cannot.
        loses: keys of :data:`LOSSES`.
        one_cine: a file holds one cine.
        options: keywords that the reader takes beside ``schema``.
        needs_image: of ``read`` and ``write``, which cannot do without ``image``, a :class:`monai_tavr.cine.CineInfo`.
    """

    name: str
    title: str
    use: str
    extensions: tuple[str, ...] = ()
    reader: str | None = None
    writer: str | None = None
    loses: tuple[str, ...] = ()
    one_cine: bool = False
    options: tuple[str, ...] = ()
    needs_image: tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of files."""
        return not self.extensions

    def read(self, path: str | os.PathLike[str], *, schema: KeypointSchema = TAVR11, **options: Any) -> list[CineLabel]:
        """The labels of a file or folder.

        Args:
            path: the file or folder.
            schema: the points that it must know.
            **options: those that :attr:`options` names.

        Raises:
            ValueError: not readable as this format, or an option that it has no use for; the message names file and place.
            OSError: the file cannot be read.
        """
        if self.reader is None:
            raise ValueError(f"{self.title} can be written only")
        foreign = sorted(set(options) - set(self.options))
        if foreign:
            raise ValueError(f"reading {self.title} has no option {foreign[0]!r}")
        if "read" in self.needs_image and options.get("image") is None:
            raise ValueError(f"{path}: {self.title} says nothing of the image; give the image that the points were placed on")
        found = _function(self.reader)(path, schema=schema, **options)
        return [found] if self.one_cine else found

    def write(self, path: str | os.PathLike[str], labels: Sequence[CineLabel], *, image: Any = None) -> None:
        """Write labels; what is written is whole or not there. What the format cannot say is told by a :class:`LossWarning`.

        Args:
            path: the file or folder.
            labels: one for a format of one cine.
            image: :class:`monai_tavr.cine.CineInfo` of the labelled image, for a format that needs it.

        Raises:
            ValueError: no labels, more than the format can hold, or one that it cannot express.
        """
        if self.writer is None:
            raise ValueError(f"{self.title} can be read only")
        if not labels or (self.one_cine and len(labels) > 1):
            raise ValueError(f"{path}: {self.title} holds {'one cine' if self.one_cine else 'labels'}, got {len(labels)}")
        if "write" in self.needs_image and image is None:
            raise ValueError(f"{path}: {self.title} is written for an image; give the image that the points belong to")
        options = {"image": image} if "write" in self.needs_image else {}
        _function(self.writer)(path, labels[0] if self.one_cine else list(labels), **options)

    def lost(self, labels: Sequence[CineLabel]) -> list[str]:
        """In words, what these labels hold that the format does not."""
        counted = {loss: sum(_count(label, loss) for label in labels) for loss in self.loses}
        return [LOSSES[loss] for loss, number in counted.items() if number]


def warn_of_loss(name: str, labels: Sequence[CineLabel]) -> None:
    """Tell the caller of a writer what the format ``name`` does not keep of these labels."""
    lost = FORMATS[name].lost(labels)
    if lost:
        warnings.warn(f"{FORMATS[name].title} does not keep: {'; '.join(lost)}", LossWarning, stacklevel=3)


def _function(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"monai_tavr.formats.{module}"), name)


def _count(label: CineLabel, loss: str) -> int:
    """How much of it a label holds."""
    image = label.image
    uids = (image.sop_instance_uid, image.series_instance_uid, image.study_instance_uid)
    counts = {
        "cines": lambda: int(not label.frames),
        "absent": lambda: sum(int((k.state == KeypointState.ABSENT).sum()) for k in label.frames),
        "blank frames": lambda: sum(not k.visible.any() for k in label.frames),
        "unlabelled frames": lambda: sum(not np.asarray(k.labelled).any() for k in label.frames),
        "score": lambda: sum(k.score is not None for k in label.frames),
        "spread": lambda: len(label.spread),
        "typical": lambda: len(label.typical),
        "edits": lambda: len(label.edits),
        "revision": lambda: int(label.revision is not None),
        "name": lambda: int(label.name is not None),
        "pictures": lambda: len(label.pictures),
        "image": lambda: 1,
        "spacing": lambda: int(image.spacing is not None),
        "uids": lambda: sum(uid is not None for uid in uids),
        "frame count": lambda: int(max((k.frame for k in label.frames), default=-1) + 1 < image.number_of_frames),
    }
    return int(counts[loss]())


_FOREIGN = ("others_absent", "ignore")
_PERSON = ("score", "spread", "typical", "edits", "revision")

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        f.name: f
        for f in (
            Format(
                name="json",
                title="label JSON",
                use="this project's own file: what predict, the server and training read and write",
                extensions=(".json",),
                reader="label_json:read_label_json",
                writer="label_json:write_label_json",
                one_cine=True,
            ),
            Format(
                name="csv",
                title="CSV table",
                use="spreadsheets, R and pandas: a row for each frame and point, its state in words",
                extensions=(".csv",),
                reader="csv_table:read_csv",
                writer="csv_table:write_csv",
                loses=("cines", "typical", "revision"),
            ),
            Format(
                name="coco",
                title="COCO keypoints",
                use="CVAT, Detectron2, MMPose, Ultralytics",
                extensions=(".json",),
                reader="coco:read_coco",
                writer="coco:write_coco",
                loses=("cines", *_PERSON),
                options=_FOREIGN,
            ),
            Format(
                name="supervisely",
                title="Supervisely",
                use="Supervisely projects, the TAVI authors' folders, BAMNet's published data",
                reader="supervisely:read_supervisely",
                writer="supervisely:write_supervisely",
                loses=("cines", *_PERSON),
                options=(*_FOREIGN, "spacings"),
            ),
            Format(
                name="prepared",
                title="BAMNet's prepared folders",
                use="train and val folders with images, masks and points, as BAMNet trains on",
                reader="prepared:read_prepared",
                options=("spacings", "ignore"),
            ),
            Format(
                name="label-studio",
                title="Label Studio",
                use="Label Studio tasks with KeyPointLabels",
                extensions=(".json",),
                reader="label_studio:read_label_studio",
                writer="label_studio:write_label_studio",
                loses=("cines", *_PERSON),
                options=_FOREIGN,
            ),
            Format(
                name="sleap",
                title="SLEAP",
                use="SLEAP projects and predictions; needs pip install 'monai-tavr[sleap]'",
                extensions=(".slp",),
                reader="sleap:read_sleap",
                writer="sleap:write_sleap",
                loses=("cines", "spread", "typical", "edits", "revision", "pictures"),
                options=("image", *_FOREIGN),
            ),
            Format(
                name="deeplabcut",
                title="DeepLabCut",
                use="DeepLabCut's CollectedData tables, and its predictions with likelihood",
                extensions=(".csv",),
                reader="deeplabcut:read_deeplabcut",
                writer="deeplabcut:write_deeplabcut",
                loses=("cines", "absent", *_PERSON, "name", "pictures", "image"),
                options=("image", *_FOREIGN),
            ),
            Format(
                name="markups",
                title="Slicer Markups",
                use="3D Slicer: a point list for each group, each point on the slice of its frame",
                extensions=(".mrk.json",),
                reader="slicer_markups:read_markups",
                writer="slicer_markups:write_markups",
                loses=("absent", "blank frames", *_PERSON, "name", "pictures", "image"),
                one_cine=True,
                options=("image", "others_absent", "author"),
                needs_image=("read", "write"),
            ),
            Format(
                name="dicom-sr",
                title="DICOM SR",
                use="a PACS: structured report TID 1500 beside the images",
                extensions=(".dcm",),
                reader="dicom_sr:read_keypoints_sr",
                writer="dicom_sr:write_dicom_sr",
                loses=("unlabelled frames", "name", "pictures"),
                one_cine=True,
                needs_image=("write",),
            ),
        )
    }
)
