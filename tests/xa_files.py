"""Files that the tests of the DICOM reader and writer share: asymmetric frames, edited headers, Enhanced XA, dicom tools."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedXAImageStorage, ExplicitVRLittleEndian

from monai_tavr.dicom.writer import write_xa

DEBIAN_PACKAGES = {"dciodvfy": "dicom3tools", "dcmcjpeg": "dcmtk", "dcmconv": "dcmtk", "dcmdjpeg": "dcmtk", "dcmj2pnm": "dcmtk"}


def asymmetric_frames(bits: int = 8, *, count: int = 5, rows: int = 37, columns: int = 50) -> np.ndarray:
    """(F, H, W) that no mirror, turn, transposition or exchange of frames leaves alone, with both ends of the grey scale."""
    top = (1 << bits) - 1
    y, x = np.mgrid[:rows, :columns]
    noise = np.random.default_rng(bits).normal(0, 0.01, (count, rows, columns))
    frames = np.stack([(x / columns * 0.7 + y / rows * 0.2 + 0.02 * f) for f in range(count)]) + noise
    frames = np.clip(np.rint(frames * top), 0, top)
    frames[:, 2:9, 3:14] = top  # bright mark, upper left
    frames[:, -6:-3, 4:30] = 0  # dark bar, lower left
    for f in range(count):
        frames[f, 12:15, 30 : 33 + 3 * f] = top  # a bar as long as the frame is late
    return frames.astype(np.uint8 if bits == 8 else np.uint16)


def run_tool(*command: str | Path) -> str:
    """Output of a DICOM tool; fails, and never skips, where the tool is missing."""
    name = str(command[0])
    if shutil.which(name) is None:
        raise AssertionError(f"{name} is missing: apt-get install {DEBIAN_PACKAGES[name]}")
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def edit(path: Path, change: Callable[[Dataset], object]) -> Path:
    """Change the header of a file in place."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_edited(path: Path, change: Callable[[Dataset], object], frames: np.ndarray | None = None, *, bits: int = 8) -> Path:
    """A raw XA file with a changed header."""
    write_xa(path, asymmetric_frames(bits) if frames is None else frames, bits_stored=bits)
    return edit(path, change)


def item(**attributes: object) -> Dataset:
    """A sequence item."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def group(**macros: Dataset) -> Dataset:
    """An item of functional groups: macro sequence -> its item."""
    return item(**{keyword: Sequence([content]) for keyword, content in macros.items()})


def write_enhanced_xa(path: Path, frames: np.ndarray, *, shared: Dataset, per_frame: list[Dataset], bits: int = 12) -> Path:
    """A minimal Enhanced XA: what is said of the frames stands in functional groups (PS3.3 A.47, C.7.6.16)."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = EnhancedXAImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "2.25.3"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "2.25.1", "2.25.2", "XA"
    ds.PatientName, ds.PatientID = "Secret^Name", "SECRET-ID"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
    ds.PixelData = frames.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.save_as(path, enforce_file_format=True)
    return path
