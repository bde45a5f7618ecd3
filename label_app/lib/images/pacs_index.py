"""The studies of a DICOMweb archive, with the interface of a studies folder (:class:`StudyIndex`).

Cines are found by QIDO-RS and known by their UIDs. A file is fetched by WADO-RS when somebody asks for its path, into a cache of
bounded size. An archive that does not answer leaves the index as it was, and is asked again at the next look.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset

from label_app.lib.images.cine_files import UNREADABLE
from label_app.lib.images.instance_cache import InstanceCache
from label_app.lib.images.pacs_client import PacsClient
from label_app.lib.images.pacs_error import PacsError
from label_app.lib.images.study_index import ImageEntry, Instance, StudyIndex, is_uid, whole
from monai_tavr.dicom.limits import MOST_FRAMES

__all__ = ["PacsIndex", "PacsInstance"]

logger = logging.getLogger(__name__)

_MODALITIES = ("XA", "RF")
_LOOK_SECONDS = 10.0  # an archive is not asked more often than that,
_RETRY_SECONDS = 2.0  # nor one that does not answer


class PacsInstance(Instance):
    """An instance of the archive; its ``path`` is that of a file that was fetched when somebody asked.

    Args:
        header: what the archive's searches said of it.
        fetch: gives the file of an instance.
    """

    def __init__(self, header: Dataset, fetch: Callable[[PacsInstance], Path]) -> None:
        is_image = whole(header, "Rows") > 0 and whole(header, "Columns") > 0
        values = {
            "header": header,
            "study_uid": str(header.StudyInstanceUID),
            "series_uid": str(header.SeriesInstanceUID),
            "sop_uid": str(header.SOPInstanceUID),
            "transfer_syntax_uid": "",  # only the file says it
            "modality": str(header.get("Modality") or ""),
            "number_of_frames": max(whole(header, "NumberOfFrames"), 1) if is_image else 0,
            "order": (whole(header, "SeriesNumber"), whole(header, "InstanceNumber")),
            "stamp": None,
            "fetch": fetch,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    fetch: Callable[[PacsInstance], Path]

    @property
    def path(self) -> Path:
        """The file on this machine.

        Raises:
            PacsError: it is not there, and the archive does not give it.
        """
        return self.fetch(self)

    @property
    def names(self) -> tuple[str, ...]:
        """UIDs of its series and of itself: what an image is called by."""
        return self.series_uid, self.sop_uid


class PacsIndex(StudyIndex):
    """Index of the XA and RF studies of an archive. Safe for use by several threads.

    The first look begins at once, in a thread of its own: a server starts without its archive.

    Args:
        client: asks the archive.
        cache: where files are kept.
    """

    def __init__(self, client: PacsClient, cache: InstanceCache) -> None:
        self.client = client
        self._cache = cache
        self._looking = threading.Lock()
        self._looked_at: float | None = None  # when the last look ended, and the last one that succeeded
        self._found_at: float | None = None
        self._stamps: dict[str, tuple[int, int]] = {}
        self._studies: dict[str, list[PacsInstance]] = {}
        self.problem: PacsError | None = None
        super().__init__(cache.folder)

    def _begin(self) -> None:
        threading.Thread(target=self._refresh, name="pacs-index", daemon=True).start()

    def refresh(self) -> None:
        """Look again at the archive, unless somebody just did; who asks before the first look has ended waits for it.

        Raises:
            PacsError: nothing is known yet, and the archive does not answer. Later on, the index stays as it is.
        """
        self._refresh()
        if self._found_at is None and self.problem is not None:
            raise self.problem

    def _refresh(self) -> None:
        if not self._looking.acquire(blocking=self._found_at is None):
            return  # somebody is at it, and what is known will do
        try:
            pause = _LOOK_SECONDS if self.problem is None else _RETRY_SECONDS
            if self._looked_at is None or time.monotonic() - self._looked_at >= pause:
                self._update_or_say_why()
        finally:
            self._looking.release()

    def _update_or_say_why(self) -> None:
        try:
            self._update()
        except Exception as error:  # what an archive says may be damaged in any way; the words of other errors quote it
            unreadable = PacsError(f"the archive's study list cannot be read ({type(error).__name__})")
            before, self.problem = self.problem, error if isinstance(error, PacsError) else unreadable
            if before is None:
                logger.warning("studies: %s", self.problem)
        else:
            self.problem, self._found_at = None, time.monotonic()
        self._looked_at = time.monotonic()

    def _update(self) -> None:
        known, stamps, before = {}, {}, self._studies
        for study in self._list_studies():
            uid = str(study.StudyInstanceUID)
            stamps[uid] = (whole(study, "NumberOfStudyRelatedInstances"), whole(study, "NumberOfStudyRelatedSeries"))
            unchanged = uid in before and stamps[uid][0] > 0 and stamps[uid] == self._stamps.get(uid)
            known[uid] = before[uid] if unchanged else list(self._list_instances(study))
        changed = known.keys() != before.keys() or any(known[u] is not before[u] for u in known)
        self._studies, self._stamps = known, stamps
        if changed:
            self.arrange(i for members in known.values() for i in members)

    def _list_studies(self) -> Iterator[Dataset]:
        seen: set[str] = set()
        for modality in _MODALITIES:
            for study in self.client.studies(modality):
                uid = str(study.get("StudyInstanceUID") or "")
                if is_uid(uid) and uid not in seen:
                    seen.add(uid)
                    yield study

    def _list_instances(self, study: Dataset) -> Iterator[PacsInstance]:
        study_uid = str(study.StudyInstanceUID)
        for modality in _MODALITIES:
            for series in self.client.series(study_uid, modality):
                series_uid = str(series.get("SeriesInstanceUID") or "")
                if not is_uid(series_uid):
                    continue
                for header in self.client.instances(study_uid, series_uid):
                    whole_header = _joined(study, series, header)
                    if not is_uid(str(header.get("SOPInstanceUID") or "")):
                        continue
                    whole_header.Modality = modality
                    instance = PacsInstance(self._with_size(whole_header), self._fetch)
                    if instance.number_of_frames <= MOST_FRAMES:
                        yield instance
                    else:
                        logger.warning("studies: left out 1 instance: its header is damaged")

    def _with_size(self, header: Dataset) -> Dataset:
        """An archive need not know an image's size when it searches; its header does."""
        if not whole(header, "Rows"):
            uids = (str(header[k].value) for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
            found = self.client.metadata(*uids)
            for keyword in ("Rows", "Columns", "NumberOfFrames", "SOPClassUID", "InstanceNumber"):
                if keyword in found:
                    header[keyword] = found[keyword]
        return header

    def _fetch(self, instance: PacsInstance) -> Path:
        def write(stream: BinaryIO) -> None:
            try:
                dataset = self.client.instance(*instance.uids)
                uids = tuple(str(dataset.get(f"{level}InstanceUID")) for level in ("Study", "Series", "SOP"))
                if uids != instance.uids:
                    raise PacsError("the archive sent another instance than the one asked for")
                dataset.save_as(stream, enforce_file_format=True)
            except UNREADABLE as error:
                if isinstance(error, OSError):  # of this machine's disk
                    raise
                raise PacsError(f"the archive sent a file that cannot be read ({type(error).__name__})") from error

        return self._cache.path(instance.sop_uid, write)

    def headers(self, entry: ImageEntry) -> list[Dataset]:
        """The whole header of each file of an image, in their order.

        Raises:
            PacsError: the archive does not give them.
        """
        if len(entry.instances) == 1:
            return [self.client.metadata(*entry.instances[0].uids)]
        first = entry.instances[0]
        found = {str(h.get("SOPInstanceUID")): h for h in self.client.series_metadata(first.study_uid, first.series_uid)}
        missing = [i for i in entry.instances if i.sop_uid not in found]
        if missing:
            raise PacsError(f"the archive lacks {len(missing)} file(s) of a series that it listed")
        return [found[i.sop_uid] for i in entry.instances]

    def find_image(self, name: str) -> ImageEntry | None:
        """As in the base class.

        Raises:
            PacsError: not found, for nothing is known yet: the archive has not answered.
        """
        found = super().find_image(name)
        if found is None and self._found_at is None:
            self.refresh()
            found = super().find_image(name)
        return found

    def holds_study(self, study: str) -> bool:
        """Whether a study is among those that this server shows."""
        if study not in self._studies and self._found_at is None:
            self.refresh()
        return study in self._studies

    def study_stamps(self) -> dict[str, tuple[int, int]]:
        """Study UID -> numbers of its instances and series; they change when something arrives."""
        return dict(self._stamps)


def _joined(study: Dataset, series: Dataset, instance: Dataset) -> Dataset:
    """One header of what three searches said; a level below says it better."""
    header = Dataset()
    for part in (study, series, instance):
        header.update({e.tag: e for e in part if e.value not in (None, "")})
    header.StudyInstanceUID, header.SeriesInstanceUID = study.StudyInstanceUID, series.SeriesInstanceUID
    return header
