"""The app's task and store by themselves, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest
from app_server import MARKS_SOP, MARKS_STUDY, STACK_SERIES, STUDY, Studies
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException

from label_app.lib.auth.audit import AuditLog
from label_app.lib.configs.tavr_keypoints import TavrKeypoints
from label_app.lib.datastores.cine_folder import CineFolderDatastore
from label_app.lib.images.cine_files import open_instances
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.labels.store import LabelStore
from label_app.lib.labels.submissions import Submissions


def submissions(folder: Path) -> Submissions:
    return Submissions(LabelStore(folder), AuditLog(folder / "audit.jsonl"))


def test_without_weights_the_task_says_what_is_missing() -> None:
    def load() -> NoReturn:
        raise FileNotFoundError("models/model.pt: no weights")

    task = TavrKeypoints(load).infer()
    with pytest.raises(MONAILabelException) as refusal:
        task({"image": ["x.dcm"]})
    assert refusal.value.error is MONAILabelError.APP_INIT_ERROR
    assert refusal.value.msg == "the model cannot be used: models/model.pt: no weights"
    assert (task.is_valid(), task.info()["labels"]) == (True, [])


def test_a_folder_that_is_none() -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        StudyIndex("/nowhere")


def test_the_index_reads_a_file_once_and_again_when_it_changed(studies: Studies, monkeypatch: pytest.MonkeyPatch) -> None:
    from label_app.lib.images import study_index

    read: list[Path] = []
    original = study_index._read_header

    def counted(path: Path, skipped: Any) -> Any:
        read.append(path)
        return original(path, skipped)

    monkeypatch.setattr(study_index, "_read_header", counted)
    index = StudyIndex(studies.root)
    first = len(read)
    index.refresh()
    assert len(read) == first > 15
    assert index.find_image(MARKS_SOP) is index.find_image(f"{MARKS_STUDY}.1") is index.find_image("marks")
    marks = studies.root / "marks.dcm"
    marks.touch()
    index.refresh()
    assert read[first:] == [marks]


def test_a_series_of_several_cines_is_no_name_for_one_of_them(tmp_path: Path, studies: Studies) -> None:
    import pydicom

    for number in (1, 2):
        dataset = pydicom.dcmread(studies.root / "marks.dcm")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        (tmp_path / str(number)).mkdir()
        dataset.save_as(tmp_path / str(number) / "run.dcm")
    index = StudyIndex(tmp_path)
    assert list(index.images) == ["1.2.1", "1.2.2"]
    assert index.find_image(f"{MARKS_STUDY}.1") is index.find_image("run") is None


def test_a_stack_is_one_cine_in_order(studies: Studies) -> None:
    entry = StudyIndex(studies.root).images[STACK_SERIES]
    cine = open_instances(entry.instances)
    assert (len(cine), cine.info.sop_instance_uid) == (3, None)
    for frame, instance in enumerate(entry.instances):
        assert (cine.frame(frame) == studies.frames[instance.sop_uid][0]).all()
    [marks] = StudyIndex(studies.root).images[MARKS_SOP].instances
    with pytest.raises(ValueError, match="cines by themselves"):
        open_instances([entry.instances[0], marks])


@pytest.mark.parametrize("name", ["../marks", "/etc/passwd", "..", ".hidden", "a/b", "", "a\0b", "x" * 200])
def test_the_store_makes_no_path_from_what_is_not_an_id(studies: Studies, name: str, tmp_path: Path) -> None:
    store = CineFolderDatastore(StudyIndex(studies.root), submissions(tmp_path))
    for ask in (
        store.get_image_uri,
        store.get_image,
        store.get_image_info,
        store.get_labels_by_image_id,
        lambda n: store.get_label_uri(n, "final"),
        lambda n: store.get_label_uri("marks", n),
    ):
        with pytest.raises(MONAILabelException) as refusal:
            ask(name)
        assert "is not an id" in refusal.value.msg


def test_the_studies_folder_is_read_only(studies: Studies, tmp_path: Path) -> None:
    store = CineFolderDatastore(StudyIndex(studies.root), submissions(tmp_path))
    assert Path(store.get_image_uri(f"{STUDY}.1.1")) == studies.root / "syntaxes" / "explicit-le.dcm"
    for change in (
        lambda: store.add_image("x", "/etc/passwd", {}),
        lambda: store.remove_image(MARKS_SOP),
        lambda: store.update_label_info(MARKS_SOP, "final", {}),
        lambda: store.get_dataset_archive(None),
        lambda: store.set_name("x"),
    ):
        with pytest.raises(MONAILabelException) as refusal:
            change()
        assert "read-only" in refusal.value.msg
