"""What annotators submit, on its way into the store: checked against the image, signed by the server, written, and passed on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from queue import SimpleQueue

import numpy as np

from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.user import User
from label_app.lib.images.study_index import ImageEntry
from label_app.lib.labels.store import FINAL, PREDICTION, LabelStore, LabelVersion
from monai_tavr.formats.label_json import label_from_json
from monai_tavr.keypoints import Keypoints
from monai_tavr.label import CineLabel, ImageInfo, PointEdit

__all__ = ["Submissions", "checked", "signed"]

logger = logging.getLogger(__name__)

Listener = Callable[[ImageEntry, LabelVersion], None]


class Submissions:
    """The door of the label store.

    Args:
        store: where the versions are kept.
        audit: who changed what.
    """

    def __init__(self, store: LabelStore, audit: AuditLog) -> None:
        self.store = store
        self.audit = audit
        self.archive_state: Callable[[str, int], str] | None = None  # of a version in a PACS; None where there is no PACS
        self._queues: list[SimpleQueue[tuple[ImageEntry, LabelVersion]]] = []

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener`` after every new version of a final label, in a thread of its own and in order; an annotator does not
        wait for it. What is not done when the server ends is not done.
        """
        queue: SimpleQueue[tuple[ImageEntry, LabelVersion]] = SimpleQueue()
        self._queues.append(queue)
        threading.Thread(target=_attend, args=(queue, listener), name="after-submit", daemon=True).start()

    def submit(
        self,
        entry: ImageEntry,
        text: bytes,
        *,
        user: User,
        base: int | None,
        model: str | None = None,
        tag: str = FINAL,
    ) -> LabelVersion:
        """Keep a label as the image's next version. When this returns it is on disk.

        Args:
            entry: the image.
            text: a label file, whole: what is not in it is unlabelled.
            user: who submits.
            base: the version the user began with, 0 for none; None = whatever is there.
            model: SHA-256 of the weights whose prediction was corrected.
            tag: kind of label.

        Raises:
            ValueError: not a label, or not of this image.
            LabelConflict: somebody else submitted since.
            OSError: it cannot be written.
        """
        label = checked(label_from_json(text, schema=self.store.schema), entry)
        current = self.store.current(entry.image_id, tag)
        previous = self.store.read(entry.image_id, tag, current.number) if current else None
        label = signed(label, previous, author=user.name, time=datetime.now(timezone.utc).isoformat(timespec="seconds"))
        version = self.store.save(entry.image_id, label, author=user.name, base=base, model=model, tag=tag)
        self._tell(user, "label.submit", entry, version)
        return version

    def remove(self, entry: ImageEntry, *, user: User, tag: str = FINAL) -> LabelVersion:
        """Make the image unlabelled by a version without frames; the older ones stay.

        Raises:
            KeyError: it has no label, or that was removed already.
            OSError: it cannot be written.
        """
        current = self.store.current(entry.image_id, tag)
        if current is None or not current.frames:
            raise KeyError("no such label")
        label = replace(self.store.read(entry.image_id, tag, current.number), frames=(), edits={}, spread={}, typical={})
        version = self.store.save(entry.image_id, label, author=user.name, base=None, tag=tag)
        self._tell(user, "label.delete", entry, version)
        return version

    def recover(self) -> int:
        """Write the audit lines of versions that have none: of a server that was killed between the file and its line.

        To be called once, before the first submit. The line says ``label.recovered``, with the author that the version names.

        Returns:
            How many were written.
        """
        try:
            known = {(line.get("image"), line.get("tag", FINAL), line.get("version")) for line in self.audit.lines()}
        except OSError as error:
            logger.error("the audit log cannot be read: %s", error.strerror)
            return 0
        missing = 0
        for image, tag, number in self.store.stored():
            # the server's own predictions are no change that anybody made
            if tag == PREDICTION or (image, tag, number) in known or (version := self.store.version(image, tag, number)) is None:
                continue
            self.audit.note(version.author, "label.recovered", image=image, tag=tag, version=number, base=version.base)
            missing += 1
        return missing

    def _tell(self, user: User, action: str, entry: ImageEntry, version: LabelVersion) -> None:
        """Write down who made a version, and pass a final one on."""
        self.audit.note(user, action, image=entry.image_id, tag=version.tag, version=version.number, base=version.base)
        if version.tag == FINAL:
            for queue in self._queues:
                queue.put((entry, version))


def _attend(queue: SimpleQueue[tuple[ImageEntry, LabelVersion]], listener: Listener) -> None:
    while True:
        entry, version = queue.get()
        try:
            listener(entry, version)
        except BaseException as error:  # one image's trouble is not the next one's; its words may hold a path
            logger.warning("after a submit: %s", type(error).__name__)
            logger.debug("after a submit", exc_info=True)


def checked(label: CineLabel, entry: ImageEntry) -> CineLabel:
    """The label if it is one of this image, with the image's UIDs in it.

    Raises:
        ValueError: size, number of frames or UIDs are another image's, or a point lies outside.
    """
    first = entry.instances[0]
    image = ImageInfo(
        rows=int(first.header.Rows),
        columns=int(first.header.Columns),
        number_of_frames=entry.number_of_frames,
        spacing=label.image.spacing,
        sop_instance_uid=first.sop_uid if len(entry.instances) == 1 else None,
        series_instance_uid=first.series_uid,
        study_instance_uid=first.study_uid,
    )
    for name in ("rows", "columns", "number_of_frames"):
        given, there = getattr(label.image, name), getattr(image, name)
        if given != there:
            raise ValueError(f"the label is of an image with {given} {name.replace('_', ' ')}; this one has {there}")
    for name in ("sop_instance_uid", "series_instance_uid", "study_instance_uid"):
        if getattr(label.image, name) not in (None, getattr(image, name)):
            raise ValueError(f"the label is of another image: its {name} is not this one's")
    for keypoints in label.frames:
        _check_inside(keypoints, image)
    return replace(label, image=image, revision=None)


def _check_inside(keypoints: Keypoints, image: ImageInfo) -> None:
    size = np.array([image.columns, image.rows])
    with np.errstate(invalid="ignore"):
        outside = ((keypoints.xy < -0.5) | (keypoints.xy > size - 0.5)).any(axis=1)
    if outside.any():
        i = int(np.argmax(outside))
        x, y = (round(float(v), 1) for v in keypoints.xy[i])
        raise ValueError(
            f"frame {keypoints.frame}: {keypoints.schema.names[i]} at ({x}, {y}) lies outside the image, which has "
            f"{image.columns} columns and {image.rows} rows"
        )


def signed(label: CineLabel, previous: CineLabel | None, *, author: str, time: str) -> CineLabel:
    """The label with every point signed by whom the server knows: whoever submits cannot write in another's name.

    A point that is as it was in the previous version keeps its signature. A new or changed one that an annotator put there gets
    this author and time; one that a model put there keeps the model's.
    """
    before = {} if previous is None else {k.frame: k for k in previous.frames}
    edits: dict[tuple[int, str], PointEdit] = {}
    for keypoints in label.frames:
        same = _unchanged(keypoints, before.get(keypoints.frame))
        for i, name in enumerate(keypoints.schema.names):
            key = keypoints.frame, name
            given = label.edits.get(key, PointEdit("annotator"))
            known = previous.edits.get(key) if previous is not None else None
            if same[i] and known is not None and known.source == given.source:
                edits[key] = known
            elif keypoints.labelled is not None and keypoints.labelled[i]:
                edits[key] = given if given.source == "model" else PointEdit("annotator", author=author, time=time)
    return replace(label, edits=edits)


def _unchanged(keypoints: Keypoints, before: Keypoints | None) -> np.ndarray:
    """(K,) bool: labelled in both and the same to a thousandth of a pixel, which is what a file keeps."""
    if before is None:
        return np.zeros(keypoints.schema.num_keypoints, bool)
    near = np.isclose(keypoints.xy, before.xy, rtol=0, atol=1e-3, equal_nan=True).all(axis=1)
    return near & (keypoints.state == before.state) & (np.asarray(keypoints.labelled))
