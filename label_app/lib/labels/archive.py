"""Final labels in the archive (PACS) as structured reports: what is submitted goes there, and what others put there comes back.

A submitted label is a file in the labels folder before anything else happens; a thread of its own sends it on, again and again
until the archive has it, in this run of the server or in the next. A report of another installation becomes a version of the
image's label if it is younger than the current one.

An archive forgets nothing, so a removed label goes there as a report without points that names its predecessor. What the archive
did not have by then it never gets.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from label_app.lib.images.pacs_error import PacsError
from label_app.lib.images.pacs_index import PacsIndex
from label_app.lib.images.study_index import ImageEntry, is_uid
from label_app.lib.labels.archive_records import IMPORTED, PASSED, STORED, ArchiveRecords, Record, report_uid
from label_app.lib.labels.store import FINAL, LabelConflict, LabelVersion
from label_app.lib.labels.submissions import Submissions, checked
from monai_tavr.formats.dicom_sr import SERIES_DESCRIPTION, keypoints_sr, read_keypoints_sr
from monai_tavr.label import CineLabel, Revision

__all__ = ["LabelArchive"]

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 15.0  # between two looks
_LONGEST_PAUSE = 300.0  # of an archive that does not answer
_STRANGER = "unknown"  # who labelled, where a report does not say


class LabelArchive:
    """Keeps labels and archive alike.

    Args:
        index: the archive's studies.
        submissions: the labels.
        pause: seconds between two looks at what there is to do.
    """

    def __init__(self, index: PacsIndex, submissions: Submissions, *, pause: float = _PAUSE_SECONDS) -> None:
        self._index, self._submissions, self._store = index, submissions, submissions.store
        self._records = ArchiveRecords(self._store.root / "archive")
        self._pause = pause
        self._wake = threading.Event()
        self._stopped = False
        self._hopeless: set[tuple[str, int]] = set()  # cannot be made into a report; said once
        self._failing = False  # the last look did not come to its end
        self._seen: dict[str, tuple[int, int]] = {}  # study -> stamp at which its reports were looked at
        submissions.subscribe(lambda entry, version: self._wake.set())

    def start(self) -> None:
        """Begin. The thread is a daemon: what it has not done by the server's end is done after the next start."""
        threading.Thread(target=self._run, name="label-archive", daemon=True).start()

    def stop(self) -> None:
        """End after what is being done."""
        self._stopped = True
        self._wake.set()

    def is_archived(self, image_id: str, number: int) -> bool:
        """Whether the archive has that version of an image's final label, or need not have it: it was removed before."""
        return number > 0 and all(version.number != number for version in self._waiting(image_id))

    def state(self, image_id: str, number: int) -> str:
        """``archived``; ``waiting``; ``delayed`` where the archive did not answer, or refused something, at the last look; or
        ``impossible``: that version cannot be made into a report.
        """
        if self.is_archived(image_id, number):
            return "archived"
        if (image_id, number) in self._hopeless:
            return "impossible"
        return "delayed" if self._failing else "waiting"

    def _waiting(self, image_id: str) -> list[LabelVersion]:
        """The versions that the archive is to get, oldest first.

        Not those that a removal took back before they got there, nor a removal where the archive has nothing that it removes.
        """
        versions, there = self._store.versions(image_id, FINAL), self._records.numbers(image_id)
        removal = max((v.number for v in versions if not v.frames), default=0)
        first = removal if any(number < removal for number in there) else removal + 1
        return [v for v in versions if v.number >= first and v.number not in there]

    def _run(self) -> None:
        pause = self._pause
        while not self._stopped:
            try:
                self.synchronize()
                pause = self._pause
            except PacsError as error:
                if pause == self._pause:
                    logger.warning("labels wait for the archive: %s", error)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except Exception as error:  # the next look may go better; words may hold names
                logger.error("labels and archive: %s", type(error).__name__)
                logger.debug("labels and archive", exc_info=True)
                pause = min(2 * pause, _LONGEST_PAUSE)
            self._wake.wait(pause)
            self._wake.clear()

    def synchronize(self) -> None:
        """Read back what is new in the archive, then store what it does not have.

        Raises:
            PacsError: the archive does not answer, or refuses. What was done by then stays done.
        """
        try:
            self._exchange()
        except Exception:
            self._failing = True
            raise
        self._failing = False

    def _exchange(self) -> None:
        self._index.refresh()
        if self._index.problem is not None:
            raise self._index.problem
        failed = [e for e in (*self._import(), *self._store_all()) if e is not None]
        if failed:  # of one image; the others are done
            raise failed[0]

    def _store_all(self) -> Iterator[PacsError | None]:
        for entry in self._index.images.values():
            for version in self._waiting(entry.image_id):
                if (entry.image_id, version.number) not in self._hopeless:
                    yield _trying(self._archive, entry, version)

    def _archive(self, entry: ImageEntry, version: LabelVersion) -> None:
        device, number = self._records.device_uid(), version.number
        label = self._store.read(entry.image_id, FINAL, number)
        headers = self._index.headers(entry)
        before = self._records.newest_before(entry.image_id, number)
        sop, series = report_uid(device, entry.image_id, FINAL, str(number)), report_uid(device, entry.image_id)
        try:
            report = keypoints_sr(
                label,
                headers,
                sop_instance_uid=sop,
                series_instance_uid=series,
                device_uid=device,
                predecessor=before[1].reference(before[0]) if before else None,
                schema=self._store.schema,
            )
        except ValueError as error:
            logger.error("a label cannot be made into a report and stays here only: %s", error)
            self._hopeless.add((entry.image_id, number))
            return
        self._index.client.store(report)
        self._records.add(entry.image_id, sop, Record(number, entry.instances[0].study_uid, series, STORED))

    def _import(self) -> Iterator[PacsError | None]:
        for study, stamp in self._index.study_stamps().items():
            if self._seen.get(study) != stamp or not stamp[0]:
                yield _trying(self._import_study, study, stamp)

    def _import_study(self, study: str, stamp: tuple[int, int]) -> None:
        for place, entry, label, revision in sorted(self._new_reports(study), key=lambda found: _instant(found[3].time)):
            self._take(place, entry, label, revision)
        self._seen[study] = stamp

    def _new_reports(self, study: str) -> Iterator[tuple[tuple[str, str], ImageEntry, CineLabel, Revision]]:
        """((series, SOP instance), image, label, its revision) of each report that nothing is known of."""
        known = {
            sop for e in self._index.images.values() if e.instances[0].study_uid == study for sop in self._records.of(e.image_id)
        }
        for series in self._index.client.series(study, "SR"):
            uid = str(series.get("SeriesInstanceUID") or "")
            if not is_uid(uid) or str(series.get("SeriesDescription") or SERIES_DESCRIPTION) != SERIES_DESCRIPTION:
                continue
            for instance in self._index.client.instances(study, uid):
                sop = str(instance.get("SOPInstanceUID") or "")
                if is_uid(sop) and sop not in known and (report := self._read(study, uid, sop)) is not None:
                    yield (uid, sop), *report

    def _read(self, study: str, series: str, sop: str) -> tuple[ImageEntry, CineLabel, Revision] | None:
        """A report's image, label and revision; None where it is not ours, or of an image that is not here."""
        try:
            label = read_keypoints_sr(self._index.client.instance(study, series, sop), schema=self._store.schema)
            entry = self._index.images.get(label.image.uid or "")
            if entry is None:  # one single frame goes by its series
                entry = self._index.images.get(label.image.series_instance_uid or "")
            if entry is None or label.revision is None:
                return None
            checked(label, entry)
        except ValueError as error:
            logger.info("archive: a report was passed over: %s", error)
            return None
        return entry, label, label.revision

    def _take(self, place: tuple[str, str], entry: ImageEntry, label: CineLabel, revision: Revision) -> None:
        """A report as the next version of the label, if it is younger than the current one."""
        versions = self._store.versions(entry.image_id, FINAL)
        same = [v for v in versions if _instant(v.time) == _instant(revision.time) and v.author == revision.author]
        if same:  # a server that was killed before it could note this
            number, origin = same[0].number, IMPORTED
        elif versions and _instant(versions[-1].time) >= _instant(revision.time):
            number, origin = 0, PASSED
        else:
            number, origin = self._save(entry, label, revision, base=versions[-1].number if versions else 0), IMPORTED
        series, sop = place
        self._records.add(entry.image_id, sop, Record(number, entry.instances[0].study_uid, series, origin))
        if origin == IMPORTED:
            self._submissions.audit.note("archive", "label.import", image=entry.image_id, version=number)

    def _save(self, entry: ImageEntry, label: CineLabel, revision: Revision, *, base: int) -> int:
        label = checked(label, entry)
        author = revision.author or _STRANGER
        try:
            version = self._store.save(entry.image_id, label, author=author, base=base, model=revision.model, time=revision.time)
        except LabelConflict as error:
            raise PacsError("somebody submitted while a report was read back; the next look decides") from error
        return version.number


def _trying(call: Callable[..., None], *args: Any) -> PacsError | None:
    """What went wrong with one image; an archive that does not answer at all is no matter of one image."""
    try:
        call(*args)
    except PacsError as error:
        if error.status == 503:
            raise
        return error
    return None


def _instant(time: str) -> datetime:
    return datetime.fromisoformat(time.replace("Z", "+00:00"))
