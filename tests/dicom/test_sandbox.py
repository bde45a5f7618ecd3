"""What a file does to the process that reads it costs one request, and gives the same frames otherwise."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from xa_files import asymmetric_frames, edit

from monai_tavr.cine import CineError
from monai_tavr.dicom import open_cine, open_series, sandbox
from monai_tavr.dicom.sandbox import Sandbox
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.files import FileStamp

# a reading process whose decoder does something terrible at frame 1
TERRIBLE = """
import os, signal, sys, time
from monai_tavr.dicom import frames, sandbox_worker
decode = frames.FrameDecoder.__call__
def terrible(self, index):
    if index == 1:
        {what}
    return decode(self, index)
frames.FrameDecoder.__call__ = terrible
sandbox_worker.main()
"""


@pytest.fixture
def box() -> Iterator[Sandbox]:
    made = Sandbox(processes=1)
    yield made
    made.close()


def terrible_box(monkeypatch: pytest.MonkeyPatch, what: str, **options: float) -> Sandbox:
    monkeypatch.setattr(sandbox, "_WORKER", (sys.executable, "-W", "ignore", "-c", TERRIBLE.format(what=what)))
    return Sandbox(processes=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("syntax", "bits"), [("explicit-le", 8), ("jpeg-lossless", 16), ("deflated", 12), ("rle", 12)])
def test_the_same_frames_and_the_same_header(tmp_path: Path, box: Sandbox, syntax: str, bits: int) -> None:
    path = tmp_path / "a.dcm"
    write_xa(
        path, asymmetric_frames(bits, rows=40, columns=56), header=XAHeader(imager_spacing=0.3), syntax=syntax, bits_stored=bits
    )
    inside, outside = open_cine(path), box.open_series([path])
    np.testing.assert_array_equal(outside.frames(), inside.frames())
    for name, value in vars(inside.info).items():
        np.testing.assert_array_equal(getattr(outside.info, name), value)
        assert type(getattr(outside.info, name)) is type(value), name
    stored = np.frombuffer(box.samples(path, FileStamp.of(path), 3), f"<u{1 if bits == 8 else 2}")
    np.testing.assert_array_equal(stored.reshape(40, 56), asymmetric_frames(bits, rows=40, columns=56)[3])


def test_signed_samples_and_a_series(tmp_path: Path, box: Sandbox) -> None:
    paths = []
    for number, frame in enumerate(asymmetric_frames(12, count=3, rows=40, columns=56), start=1):
        paths.append(tmp_path / f"{number}.dcm")
        write_xa(paths[-1], frame[None], header=XAHeader(instance_number=number), syntax="rle", bits_stored=12)
        edit(paths[-1], lambda ds: setattr(ds, "PixelRepresentation", 1))
    inside, outside = open_series(paths[::-1]), box.open_series(paths[::-1])
    np.testing.assert_array_equal(outside.frames(), inside.frames())
    np.testing.assert_array_equal(outside.info.frame_times, inside.info.frame_times)
    stored = np.frombuffer(box.samples(paths[0], FileStamp.of(paths[0]), 0), "<i2").reshape(40, 56)
    np.testing.assert_array_equal(stored, (asymmetric_frames(12, count=3, rows=40, columns=56)[0].astype(int) ^ 2048) - 2048)


def test_what_is_wrong_with_a_file_is_said_as_ever(tmp_path: Path, box: Sandbox) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"no image")
    with pytest.raises(CineError, match="neither DICOM") as refusal:
        box.open_series([path])
    assert refusal.value.path == path
    write_xa(path, asymmetric_frames(rows=40, columns=56))
    cine = box.open_series([path])
    write_xa(path, asymmetric_frames(rows=40, columns=56)[::-1].copy())
    with pytest.raises(CineError, match="changed"):
        cine.frame(0)
    with pytest.raises(CineError, match="changed"):
        box.samples(path, FileStamp(1, 1, ""), 0)


@pytest.mark.parametrize(
    ("what", "options", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", {}, "process that read it ended"),
        ("os._exit(0)", {}, "process that read it ended"),
        ("time.sleep(60)", {"seconds": 0.5}, "not read within"),
        ("bytearray(1 << 30)", {"memory": 1 << 29}, "more memory than there is"),
        ("raise BaseException('a panic')", {}, "damaged"),
        ("print('no reply', flush=True); raise ValueError", {}, "damaged"),
    ],
)
def test_a_terrible_file_costs_one_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, options: dict[str, float], reason: str
) -> None:
    path, frames = tmp_path / "a.dcm", asymmetric_frames(rows=40, columns=56)
    write_xa(path, frames)
    box = terrible_box(monkeypatch, what, **options)
    try:
        cine = box.open_series([path])
        assert np.array_equal(cine.frame(0), frames[0])
        begun = time.monotonic()
        with pytest.raises(CineError, match=reason):
            cine.frame(1)
        assert time.monotonic() - begun < 10
        assert np.array_equal(cine.frame(2), frames[2])
    finally:
        box.close()


def test_nothing_starts_before_a_file_is_read_and_nothing_heavy_or_secret_is_in_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(rows=40, columns=56))
    monkeypatch.setenv("MONAI_TAVR_PACS_PASSWORD", "hunter2")
    told = tmp_path / "told"
    what = f"open({str(told)!r}, 'w').write(' '.join(m for m in ('torch', 'monai', 'cv2') if m in sys.modules) + str(os.environ))"
    box = terrible_box(monkeypatch, what)
    assert box._idle == []
    threads = [threading.Thread(target=lambda: box.open_series([tmp_path / "a.dcm"]).frame(1)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    [worker] = box._idle  # three readers, one process
    assert not told.read_text().startswith(("torch", "monai", "cv2"))
    assert "hunter2" not in told.read_text()
    os.kill(worker._process.pid, 9)  # while it is idle
    worker._process.wait()
    assert box.open_series([tmp_path / "a.dcm"]).frame(0).shape == (40, 56)
    box.close()
