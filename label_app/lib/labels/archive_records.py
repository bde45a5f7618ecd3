"""What is known of the reports in an archive: which of them is which version of a label.

One small file for each report, ``FOLDER/archive/<image id>/<SOP instance UID>.json``, beside the labels::

    {"number": 3, "study": "...", "series": "...", "origin": "stored", "time": "..."}

``origin`` is ``stored`` (written by this installation), ``imported`` (read back as a version), or ``passed`` (nothing was made of
it; number 0). A version without a record is still to be stored: there is no other queue, so none can be lost.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from label_app.lib.images.study_index import is_uid
from monai_tavr.files import creating, write_json_atomically
from monai_tavr.formats.checks import read_json
from monai_tavr.uids import ARCHIVED_REPORT, derived_uid, random_uid

__all__ = ["IMPORTED", "PASSED", "STORED", "ArchiveRecords", "Record", "report_uid"]

logger = logging.getLogger(__name__)

STORED, IMPORTED, PASSED = "stored", "imported", "passed"


def report_uid(*sources: str) -> str:
    """A UID that follows from the sources alone: to store a version twice is to store it once."""
    return derived_uid(ARCHIVED_REPORT, chr(0).join(sources))


@dataclass(frozen=True)
class Record:
    """A report in the archive.

    Attributes:
        number: the version of the image's final label that it is; 0 = of none.
        study, series: where it lies.
        origin: ``stored``, ``imported`` or ``passed``.
        time: when this was noted.
    """

    number: int
    study: str
    series: str
    origin: str
    time: str = ""

    def reference(self, sop_uid: str) -> Dataset:
        """As a predecessor is named in a report."""
        named = Dataset()
        named.StudyInstanceUID, named.SeriesInstanceUID = self.study, self.series
        named.SOPClassUID, named.SOPInstanceUID = ComprehensiveSRStorage, sop_uid
        return named


class ArchiveRecords:
    """Records below ``folder``. Safe for use by several threads.

    Args:
        folder: made when the first record is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Record]] = {}

    def of(self, image_id: str) -> dict[str, Record]:
        """SOP instance UID -> record, of one image.

        Args:
            image_id: id of a registered image.
        """
        with self._lock:
            if image_id not in self._known:
                self._known[image_id] = dict(self._read(image_id))
            return dict(self._known[image_id])

    def add(self, image_id: str, sop_uid: str, record: Record) -> None:
        """Note a report."""
        timed = asdict(record) | {"time": datetime.now(timezone.utc).isoformat(timespec="seconds")}
        write_json_atomically(self._folder / image_id / f"{sop_uid}.json", timed, indent=None)
        known = self.of(image_id) | {sop_uid: Record(**timed)}
        with self._lock:
            self._known[image_id] = known

    def numbers(self, image_id: str) -> set[int]:
        """The versions of which there is a report."""
        return {record.number for record in self.of(image_id).values() if record.number}

    def newest_before(self, image_id: str, number: int) -> tuple[str, Record] | None:
        """The report of the newest version before ``number`` that has one."""
        earlier = [(sop, record) for sop, record in self.of(image_id).items() if 0 < record.number < number]
        return max(earlier, key=lambda found: found[1].number, default=None)

    def _read(self, image_id: str) -> list[tuple[str, Record]]:
        records = []
        for path in (self._folder / image_id).glob("*.json"):
            try:
                if is_uid(path.stem):
                    records.append((path.stem, Record(**read_json(path))))
            except (ValueError, TypeError, OSError):
                logger.warning("archive: left out 1 record that cannot be read")
        return records

    def device_uid(self) -> str:
        """Who writes: a UID of this labels folder, made when it is first asked for."""
        path = self._folder / "device"
        try:
            with creating(path) as stream:
                stream.write(random_uid().encode())
        except FileExistsError:
            pass
        return path.read_text(encoding="ascii").strip()
