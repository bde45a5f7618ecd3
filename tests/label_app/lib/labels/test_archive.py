"""What becomes of a label in the archive: of a removed one, which does not come back, and of one of another schema."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from cine_labels import SOP, STUDY, label_of, point, write_cines
from pydicom.dataset import Dataset

from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.user import local_user
from label_app.lib.images.pacs_error import PacsError
from label_app.lib.images.study_index import ImageEntry, StudyIndex
from label_app.lib.labels.archive import LabelArchive
from label_app.lib.labels.store import FINAL, LabelStore, LabelVersion
from label_app.lib.labels.submissions import Submissions
from monai_tavr.formats.dicom_sr import read_keypoints_sr
from monai_tavr.keypoints import TAVR11, KeypointSchema, load_schema


class Archive:
    """Stands for an archive's index and client: keeps the reports that it is given, in their order."""

    problem = None

    def __init__(self, studies: StudyIndex) -> None:
        self.images, self.client, self.refresh = studies.images, self, studies.refresh
        self.reports: dict[str, Dataset] = {}
        self.answers = True

    def headers(self, entry: ImageEntry) -> list[Dataset]:
        return [pydicom.dcmread(path, stop_before_pixels=True) for path in entry.paths]

    def study_stamps(self) -> dict[str, tuple[int, int]]:
        return {STUDY: (1 + len(self.reports), 1)}

    def series(self, study: str, modality: str) -> list[Dataset]:
        return [self.reports[uid] for uid in {str(r.SeriesInstanceUID): sop for sop, r in self.reports.items()}.values()]

    def instances(self, study: str, series: str) -> list[Dataset]:
        return [r for r in self.reports.values() if r.SeriesInstanceUID == series]

    def instance(self, study: str, series: str, sop: str) -> Dataset:
        return self.reports[sop]

    def store(self, report: Dataset) -> None:
        if not self.answers:
            raise PacsError("the archive does not answer", status=503)
        self.reports.setdefault(str(report.SOPInstanceUID), report)


class Site:
    """One installation with its labels folder, at an archive."""

    def __init__(self, archive: Archive, folder: Path, schema: KeypointSchema = TAVR11) -> None:
        self.submissions = Submissions(LabelStore(folder, schema=schema), AuditLog(folder / "audit.jsonl"))
        self.archive = LabelArchive(archive, self.submissions)  # type: ignore[arg-type]
        self.store, self._entry = self.submissions.store, archive.images[SOP]

    def submit(self, x: float) -> LabelVersion:
        text = json.dumps(label_of({0: {"AA1": point(x, 2)}})).encode()
        return self.submissions.submit(self._entry, text, user=local_user("Anna"), base=None)

    def remove(self) -> LabelVersion:
        return self.submissions.remove(self._entry, user=local_user("Ben"))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(StudyIndex(write_cines(tmp_path / "studies")))


@pytest.fixture
def here(archive: Archive, tmp_path: Path) -> Site:
    return Site(archive, tmp_path / "here")


def frames_in(archive: Archive) -> list[int]:
    """Number of labelled frames of each report."""
    return [len(read_keypoints_sr(report).frames) for report in archive.reports.values()]


def predecessor(report: Dataset) -> str:
    [study] = report.PredecessorDocumentsSequence
    return str(study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def test_a_removed_label_goes_there_as_a_report_without_points(archive: Archive, here: Site) -> None:
    here.submit(1.0)
    here.archive.synchronize()
    here.remove()
    assert not here.archive.is_archived(SOP, 2)
    here.archive.synchronize()
    assert frames_in(archive) == [1, 0]
    first, removal = archive.reports.values()
    assert predecessor(removal) == first.SOPInstanceUID
    assert removal.SeriesInstanceUID == first.SeriesInstanceUID
    assert here.archive.is_archived(SOP, 2)


def test_what_the_archive_has_of_a_removed_label_is_no_fresh_label(archive: Archive, here: Site, tmp_path: Path) -> None:
    here.submit(1.0)
    here.archive.synchronize()
    here.remove()
    for _ in range(2):
        here.archive.synchronize()
        assert (here.store.images(), len(here.store.versions(SOP))) == ([], 2)
    for path in (tmp_path / "here" / "archive" / SOP).iterdir():
        path.unlink()  # of a folder that was restored in part
    restored = Site(archive, tmp_path / "here")
    restored.archive.synchronize()
    assert (restored.store.images(), len(restored.store.versions(SOP))) == ([], 2)
    assert frames_in(archive) == [1, 0]
    elsewhere = Site(archive, tmp_path / "elsewhere")
    elsewhere.archive.synchronize()
    assert elsewhere.store.images() == []
    assert [(v.number, v.author, len(v.frames)) for v in elsewhere.store.versions(SOP)] == [(1, "Anna", 1), (2, "Ben", 0)]
    assert frames_in(archive) == [1, 0]


def test_an_annotator_can_know_how_far_a_version_is(archive: Archive, here: Site) -> None:
    here.submit(1.0)
    assert here.archive.state(SOP, 1) == "waiting"
    archive.answers = False
    with pytest.raises(PacsError):
        here.archive.synchronize()
    assert here.archive.state(SOP, 1) == "delayed"
    archive.answers = True
    here.archive.synchronize()
    assert here.archive.state(SOP, 1) == "archived"
    here.submit(2.0)
    archive.headers = lambda entry: []  # type: ignore[method-assign]  # of an image that no report can name
    here.archive.synchronize()
    assert here.archive.state(SOP, 2) == "impossible"


def test_what_was_removed_before_the_archive_had_it_never_gets_there(archive: Archive, here: Site) -> None:
    archive.answers = False
    here.submit(1.0)
    here.submit(2.0)
    with pytest.raises(PacsError):
        here.archive.synchronize()
    assert not here.archive.is_archived(SOP, 2)
    here.remove()
    archive.answers = True
    here.archive.synchronize()
    assert frames_in(archive) == []
    assert here.archive.is_archived(SOP, 3)  # nothing waits
    here.submit(4.0)
    here.archive.synchronize()
    [report] = archive.reports.values()
    assert (report.InstanceNumber, "PredecessorDocumentsSequence" in report) == (4, False)
    assert read_keypoints_sr(report).frames[0].xy[0, 0] == 4.0


def test_a_label_after_a_removal_names_the_report_that_it_replaces(archive: Archive, here: Site) -> None:
    here.submit(1.0)
    here.archive.synchronize()
    archive.answers = False
    here.submit(2.0)
    here.remove()
    here.submit(4.0)
    archive.answers = True
    here.archive.synchronize()
    first, removal, last = archive.reports.values()
    assert [int(r.InstanceNumber) for r in (first, removal, last)] == [1, 3, 4]
    assert (predecessor(removal), predecessor(last)) == (first.SOPInstanceUID, removal.SOPInstanceUID)


def test_the_archive_is_told_of_a_removal_at_once(archive: Archive, here: Site) -> None:
    here.submit(1.0)
    here.archive.synchronize()
    woken = here.archive._wake
    assert woken.wait(60)
    woken.clear()
    here.remove()
    assert woken.wait(60)


def test_an_older_report_of_others_does_not_undo_a_removal(archive: Archive, here: Site, tmp_path: Path) -> None:
    here.archive.synchronize()
    elsewhere = Site(archive, tmp_path / "elsewhere")
    elsewhere.submit(9.0)
    here.submit(1.0)
    here.remove()
    elsewhere.archive.synchronize()
    here.archive.synchronize()
    assert here.store.images() == []
    assert [v.author for v in here.store.versions(SOP)] == ["Anna", "Ben"]


def test_labels_of_another_schema_go_there_and_come_back(archive: Archive, tmp_path: Path) -> None:
    """And one of TAVR11 at the same archive passes them over."""
    schema, user = load_schema("authors10"), local_user("Anna")
    here = Site(archive, tmp_path / "here", schema)
    text = json.dumps(label_of({3: {"EC1": point(7.25, 2)}}) | {"keypoints": "AUTHORS10"}).encode()
    here.submissions.submit(archive.images[SOP], text, user=user, base=None)
    here.archive.synchronize()
    elsewhere, shipped = Site(archive, tmp_path / "elsewhere", schema), Site(archive, tmp_path / "shipped")
    for site in (elsewhere, shipped):
        site.archive.synchronize()
    (keypoints,) = elsewhere.store.read(SOP, FINAL, 1).frames
    assert (keypoints.frame, keypoints.xy[schema.index("EC1")].tolist()) == (3, [7.25, 2.0])
    assert shipped.store.images() == []
    here.remove()
    for site in (here, elsewhere):
        site.archive.synchronize()
    assert [(v.number, len(v.frames)) for v in elsewhere.store.versions(SOP)] == [(1, 1), (2, 0)]
