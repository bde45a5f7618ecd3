"""What is to be known of an image is said to who looks at it, and in the log without a name for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from in_process import Client
from xa_files import asymmetric_frames

from label_app.lib.web.backend import Backend
from label_app.server import create_app
from monai_tavr.dicom.writer import XAHeader, write_xa

WORDS = "the window 2000 / 200 shows one grey level only"


def test_a_blank_window_is_said_in_the_images_answer_and_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number, window in enumerate([(2000, 200), (128, 256)]):
        header = XAHeader(
            patient_id="SECRET-ID", study_uid="2.25.71", series_uid="2.25.71.1", sop_uid=f"2.25.71.1.{number}", window=window
        )
        write_xa(tmp_path / "studies" / f"Doe_{number}.dcm", asymmetric_frames(count=2), header=header)
    monkeypatch.setattr(Backend, "start", lambda self: None)
    client = Client(create_app(tmp_path / "studies", labels=tmp_path / "kept"))
    blank, plain = (client.get(f"/tavr/images/2.25.71.1.{number}").json() for number in range(2))
    assert [WORDS in remark for remark in blank["remarks"]] == [True]
    assert plain["remarks"] == []
    [said] = [record.getMessage() for record in caplog.records if WORDS in record.getMessage()]
    assert not [name for name in ("2.25.71", "SECRET", "Doe", str(tmp_path)) if name in said]
