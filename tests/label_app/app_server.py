"""What the app's tests are made of: a studies folder with files of every kind, and the server as a real process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pydicom

from monai_tavr.dicom.writer import SYNTAXES, XAHeader, write_xa
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo

STUDY = "2.25.1000"
STACK_SERIES = "2.25.1000.77"
SHORT_SOP = "2.25.1500.1.1"  # a file that ends too early
MARKS_STUDY = "2.25.2000"
MARKS_SOP = "2.25.2000.1.1"
PATIENT_NAME = "Secretname^Patient"
SIZE = 512
MARK_RADIUS = 12
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Studies:
    """Where the files are, and what is in them."""

    root: Path
    labels: Path
    frames: dict[str, np.ndarray] = field(default_factory=dict)  # SOP instance UID -> (F, H, W) as stored


def mark_points(frame: int) -> dict[str, tuple[float, float] | None]:
    """Where the marks of a frame lie: apart from each other, moving 3 px per frame, the contour group from frame 2 on."""
    places = {n: (70.0 + 120 * (i % 4) + 3 * frame, 90.0 + 150 * (i // 4)) for i, n in enumerate(TAVR11.names)}
    return {n: p if TAVR11.group_of(n) != "contour" or frame >= 2 else None for n, p in places.items()}


def _ramp(frames: int, rows: int, columns: int, bits: int) -> np.ndarray:
    """Every pixel and frame different, no symmetry: a flip, a shift or a swap of frames shows."""
    f, y, x = np.mgrid[0:frames, 0:rows, 0:columns]
    values = (x * 5 + y * 7 + f * 31 + (x * y) // 9) % (1 << bits)
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def _write_syntaxes(root: Path, frames: dict[str, np.ndarray]) -> None:
    for number, syntax in enumerate(SYNTAXES, start=1):
        bits = 8 if syntax == "jpeg-baseline" or number % 2 else 12
        pixels = _ramp(4, 40, 56, bits)
        sop = f"{STUDY}.{number}.1"
        header = XAHeader(
            patient_id="P1",
            patient_name=PATIENT_NAME,
            study_uid=STUDY,
            series_uid=f"{STUDY}.{number}",
            sop_uid=sop,
            series_number=number,
            series_description=syntax,
            study_description="All syntaxes",
        )
        path = root / "syntaxes" / f"{syntax}.dcm"
        write_xa(path, pixels, header=header, syntax=syntax, bits_stored=bits)
        frames[sop] = pydicom.dcmread(path).pixel_array


def _write_stack(root: Path, frames: dict[str, np.ndarray]) -> None:
    """A series of single frames, beside another file in the same folder, numbered against the order of their names."""
    for number in (3, 1, 2):
        sop = f"{STACK_SERIES}.{number}"
        header = XAHeader(study_uid=STUDY, series_uid=STACK_SERIES, sop_uid=sop, series_number=77, instance_number=number)
        path = root / "stack" / f"{9 - number}.dcm"
        write_xa(path, _ramp(number, 40, 56, 8)[-1:], header=header)
        dataset = pydicom.dcmread(path)
        del dataset.NumberOfFrames, dataset.FrameIncrementPointer, dataset.FrameTime
        with pydicom.config.disable_value_validation():
            dataset.PatientBirthDate = PATIENT_NAME  # no date: pydicom warns, and quotes it
            dataset.save_as(path)
        frames[sop] = dataset.pixel_array[None]


def _write_marks(root: Path) -> None:
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    cine = np.full((4, SIZE, SIZE), 40, np.uint8)
    for f in range(len(cine)):
        for point in mark_points(f).values():
            if point is not None:
                cine[f][np.hypot(x - point[0], y - point[1]) <= MARK_RADIUS] = 255
    header = XAHeader(
        patient_id="MARKS",
        study_uid=MARKS_STUDY,
        series_uid=f"{MARKS_STUDY}.1",
        sop_uid=MARKS_SOP,
        imager_spacing=0.3,
        source_detector_mm=1100,
        source_patient_mm=760,
        study_description="White discs",
    )
    write_xa(root / "marks.dcm", cine, header=header, syntax="jpeg-lossless-sv1")


def _write_label(
    folder: Path, uid: str, shape: tuple[int, ...], points: dict[int, dict[str, tuple[float, float] | None]]
) -> None:
    image = ImageInfo(rows=shape[1], columns=shape[2], number_of_frames=shape[0])
    keypoints = [Keypoints.from_points(TAVR11, p, frame=f) for f, p in points.items()]
    scored = [Keypoints(schema=TAVR11, xy=k.xy, score=np.where(k.visible, 0.9, 0.1), frame=k.frame) for k in keypoints]
    write_label_json(folder / f"{uid}.json", CineLabel(image=image, frames=tuple(scored)))


def make_studies(base: Path) -> Studies:
    """Write the files below ``base``."""
    made = Studies(base / "studies", base / "labels")
    _write_syntaxes(made.root, made.frames)
    _write_stack(made.root, made.frames)
    _write_marks(made.root)
    (made.root / "notes.txt").write_text("not an image")
    whole = (made.root / "syntaxes" / "explicit-le.dcm").read_bytes()
    (made.root / "no_header.dcm").write_bytes(whole[:200])
    short = pydicom.dcmread(made.root / "syntaxes" / "explicit-le.dcm")
    short.StudyInstanceUID, short.SeriesInstanceUID = SHORT_SOP[:9], SHORT_SOP[:11]
    short.SOPInstanceUID = short.file_meta.MediaStorageSOPInstanceUID = SHORT_SOP
    short.PatientID, short.PatientName = "SHORT", "Short"
    short.save_as(made.root / "short.dcm")
    (made.root / "short.dcm").write_bytes((made.root / "short.dcm").read_bytes()[:-3000])
    for sop, pixels in made.frames.items():
        _write_label(made.labels, sop, (12, *pixels.shape[1:]), {f: {"CP": (f + 1.5, 2.5)} for f in range(4)})
    _write_label(made.labels, MARKS_SOP, (4, SIZE, SIZE), {f: mark_points(f) for f in range(4)})
    return made


@dataclass
class Server:
    """A running server and a client of it; as a context it is stopped at the end."""

    process: subprocess.Popen[str]
    url: str
    client: httpx.Client
    log: Path

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Returns when it has ended; it may have been stopped before."""
        self.client.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler writes what every thread is at
            self.process.wait()
            raise AssertionError(f"the server does not end:\n{self.log.read_text()[-6000:]}") from None
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(command: list[str], port: int, folder: Path, **environment: str) -> Server:
    """Start a server process and wait for the line that names the viewer's address."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    log = folder / "log.txt"
    env = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", **environment}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Viewer:"):
            assert line.split() == ["Viewer:", f"{url}/ohif/"]
            return Server(process, url, httpx.Client(base_url=url, timeout=600), log)
    raise AssertionError(f"the server ended with code {process.wait()}:\n{log.read_text()}")


def start_label_server(place: Path) -> Server:
    """A server of images and labels, without MONAI Label: ``place`` holds the studies, and gets the labels in ``kept``."""
    port, script = free_port(), Path(__file__).with_name("label_server.py")
    return start_server([str(script), str(place / "studies"), str(place / "kept"), str(port)], port, place / "run")


def shipped_server(studies: Path, folder: Path) -> Server:
    """The app as it is shipped, with its own weights, over a folder of studies; it runs in ``folder``."""
    port = free_port()
    command = ["-m", "label_app.server", "start_server", "--app", str(_ROOT / "label_app"), "--studies", str(studies)]
    return start_server([*command, "--port", str(port)], port, folder)


def remove_labels(place: Path) -> None:
    """All that :func:`start_label_server`'s server keeps as labels."""
    for path in place.glob("kept/labels/*/*"):
        path.unlink()
