"""Labels frozen for a training: which are taken, how they are split, and that nothing names a patient."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from training_bundle import FRAMES, label_of, sop_of, write_studies

from label_app.lib.images.patients import PatientKeys
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.labels.store import LabelStore
from label_app.lib.trainers.snapshot import Snapshot, take_snapshot
from label_app.lib.trainers.train_request import TrainRequest
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointState
from monai_tavr.label import CineLabel
from monai_tavr.training.unlabelled import unlabelled_items


class Studies:
    """A studies folder with a label store."""

    def __init__(self, folder: Path, *, patients: int, cines: int = 1) -> None:
        self.index = StudyIndex(write_studies(folder / "studies", patients=patients, cines=cines))
        self.store = LabelStore(folder / "labels")
        self.keys = PatientKeys(folder / "labels")

    def submit(self, patient: int, cine: int = 1, **options: int) -> None:
        self.store.save(sop_of(patient, cine), label_of(patient, cine, **options), author="Ann", base=None)

    def snapshot(self, trained_on: set[str] = frozenset(), validated_on: list[str] = []) -> Snapshot:  # type: ignore[assignment] # noqa: B006
        return take_snapshot(
            self.store,
            find=self.index.find_image,
            patient=self.keys.key,
            trained_on=trained_on,
            validated_on=validated_on,
            images=self.index.images.values(),
        )

    def key(self, patient: int) -> str:
        entry = self.index.find_image(sop_of(patient))
        assert entry is not None
        return self.keys.key(entry)


def test_keys_tell_patients_apart_and_not_who_they_are(tmp_path: Path) -> None:
    studies = Studies(tmp_path, patients=2, cines=2)
    keys = {image_id: studies.keys.key(entry) for image_id, entry in studies.index.images.items()}
    assert keys[sop_of(1, 1)] == keys[sop_of(1, 2)] != keys[sop_of(2, 1)] == keys[sop_of(2, 2)]
    assert PatientKeys(tmp_path / "labels").key(studies.index.images[sop_of(1)]) == keys[sop_of(1)]
    assert PatientKeys(tmp_path / "elsewhere").key(studies.index.images[sop_of(1)]) != keys[sop_of(1)]
    assert (tmp_path / "labels" / "patients.key").stat().st_mode & 0o077 == 0


def test_a_patient_lies_in_one_split(tmp_path: Path) -> None:
    studies = Studies(tmp_path, patients=8, cines=2)
    for patient in range(1, 9):
        for cine in (1, 2):
            studies.submit(patient, cine)
    snapshot = studies.snapshot()
    training, validation = ({i.patient for i in split} for split in (snapshot.training, snapshot.validation))
    assert (len(training), len(validation), training & validation) == (6, 2, set())  # a quarter validates
    assert snapshot.split_by == "patient"
    record = snapshot.record()
    # 11 points on 4 frames, but PT is unlabelled on one of them
    assert record["training"] == {"patients": 6, "images": 12, "frames": 48, "points": 12 * 43}
    assert studies.snapshot().digest == snapshot.digest


def test_who_was_trained_on_never_validates_and_who_validated_goes_on(tmp_path: Path) -> None:
    studies = Studies(tmp_path, patients=4)
    for patient in range(1, 5):
        studies.submit(patient)
    keys = sorted(studies.key(p) for p in range(1, 5))
    for alone in keys:
        [image] = studies.snapshot(set(keys) - {alone}).validation
        assert image.patient == alone
        [image] = studies.snapshot(set(), [alone]).validation
        assert image.patient == alone
    flattered = studies.snapshot(set(keys))
    assert len(flattered.validation) == 1
    assert "flatter" in flattered.notes[0]


def test_a_teacher_may_speak_of_what_nobody_labelled_but_not_of_who_validates(tmp_path: Path) -> None:
    studies = Studies(tmp_path, patients=4, cines=2)
    for patient in (1, 2, 3):
        studies.submit(patient)
    snapshot = studies.snapshot()
    [validating] = {i.patient for i in snapshot.validation}
    others = {i for i, entry in studies.index.images.items() if studies.keys.key(entry) != validating}
    assert {i.image_id for i in snapshot.unlabelled} == others
    assert len(others) == 6  # three patients with two cines each, one of whom has no label at all
    snapshot.write(tmp_path / "plain", own=tmp_path / "labels")
    assert not (tmp_path / "plain" / "unlabelled").exists()
    snapshot.write(tmp_path / "data", own=tmp_path / "labels", unlabelled=True)
    assert {p.stem for p in (tmp_path / "data" / "unlabelled").iterdir()} == others
    items = unlabelled_items(tmp_path / "data" / "unlabelled")
    assert len(items) == 6 * (FRAMES - 2)  # those with both neighbours


def test_one_patient_is_split_by_cine_with_a_word(tmp_path: Path) -> None:
    studies = Studies(tmp_path, patients=1, cines=2)
    studies.submit(1, 1)
    with pytest.raises(ValueError, match="of one cine only"):
        studies.snapshot()
    studies.submit(1, 2)
    snapshot = studies.snapshot()
    assert snapshot.split_by == "cine"
    assert "all labels are of one patient" in snapshot.notes[0]
    assert {len(snapshot.training), len(snapshot.validation)} == {1}
    snapshot.write(tmp_path / "data", own=tmp_path / "labels")  # the datalist must not have one patient in two splits
    content = json.loads((tmp_path / "data" / "datalist.json").read_text())
    assert {i["patient"] for i in content["training"]}.isdisjoint(i["patient"] for i in content["validation"])


def test_too_little_is_refused_in_words(tmp_path: Path) -> None:
    studies = Studies(tmp_path, patients=2)
    with pytest.raises(ValueError, match="nothing is labelled yet"):
        studies.snapshot()
    studies.submit(1, frames=1)
    studies.submit(2, frames=1)
    with pytest.raises(ValueError, match="too few"):
        studies.snapshot()
    nothing = tuple(Keypoints.from_points(TAVR11, dict.fromkeys(TAVR11.names), frame=f) for f in range(FRAMES))
    for patient in (1, 2):
        label = CineLabel(image=label_of(patient).image, frames=nothing)
        studies.store.save(sop_of(patient), label, author="Ann", base=None)
    with pytest.raises(ValueError, match="no visible point"):
        studies.snapshot()


def test_what_is_written_is_the_label_of_then_and_names_nobody(tmp_path: Path) -> None:
    studies = Studies(tmp_path, patients=3)
    for patient in (1, 2, 3):
        studies.submit(patient)
    snapshot = studies.snapshot()
    studies.submit(1, frames=2)  # too late
    assert studies.snapshot().digest != snapshot.digest
    snapshot.write(tmp_path / "data", own=tmp_path / "labels")
    label = read_label_json(tmp_path / "data" / "labels" / f"{sop_of(1)}.json")
    assert [k.frame for k in label.frames] == [0, 1, 2, 3]
    assert label.frames[1].state[TAVR11.index("PT")] == KeypointState.UNLABELLED
    texts = [p.read_text() for p in (tmp_path / "data").rglob("*.json")]
    assert len(texts) == 4
    assert not any("secret" in t.lower() for t in texts)
    link, file = tmp_path / "data" / "images" / f"{sop_of(1)}.dcm", tmp_path / "studies" / "Secretname1" / "run1.dcm"
    assert link.resolve() == file
    snapshot.write(tmp_path / "data", own=tmp_path / "studies")  # as if the file lay in the app's cache, which forgets it
    file.unlink()
    assert link.read_bytes()


def test_an_image_that_is_gone_is_left_out_with_a_word(tmp_path: Path) -> None:
    studies = Studies(tmp_path, patients=4)
    for patient in range(1, 5):
        studies.submit(patient)
    (tmp_path / "studies" / "Secretname1" / "run1.dcm").unlink()
    studies.index.refresh()
    snapshot = studies.snapshot()
    assert len(snapshot.training + snapshot.validation) == 3
    assert "1 labelled image(s) are not among the studies" in snapshot.notes[0]


def test_parameters_within_bounds() -> None:
    assert TrainRequest.parse(None) == TrainRequest.parse({"client_id": "x", "device": "cuda"}) == TrainRequest()
    assert TrainRequest.parse({"max_epochs": 3, "learning_rate": 0.001}) == TrainRequest(3, 0.001)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"max_epochs": 0}, "from 1 to 500"),
        ({"max_epochs": 501}, "from 1 to 500"),
        ({"max_epochs": True}, "from 1 to 500"),
        ({"max_epochs": "3"}, "from 1 to 500"),
        ({"learning_rate": 1}, "from 1e-6 to 1e-2"),
        ({"learning_rate": float("nan")}, "from 1e-6 to 1e-2"),
        ({"bundle_root": "/etc"}, "unknown parameter 'bundle_root'"),
        ([1], "JSON object"),
    ],
)
def test_other_parameters_are_refused(params: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainRequest.parse(params)
