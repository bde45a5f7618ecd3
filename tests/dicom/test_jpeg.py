"""A JPEG counts as complete only when it holds exactly its picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from xa_files import asymmetric_frames

from monai_tavr.dicom.code_stream import read_code_stream
from monai_tavr.dicom.jpeg import is_complete_jpeg
from monai_tavr.dicom.writer import SYNTAXES, _encode

END = b"\xff\xd9"


def complete(data: bytes) -> bool:
    return is_complete_jpeg(read_code_stream(data), data)


def _jpeg(frame: np.ndarray, **options: int | bool) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", **options)
    return stream.getvalue()


def _streams() -> dict[str, bytes]:
    frames = {bits: asymmetric_frames(bits, count=1, rows=62, columns=91)[0] for bits in (8, 10, 12, 16)}
    lossless = {f"lossless-{b}": _encode(f, SYNTAXES["jpeg-lossless-sv1"], b) for b, f in frames.items()}
    edge = np.zeros((2, 4), np.uint16)
    edge[:, ::2] = 32768  # differences of 32768 have a code and no further bits
    return {
        **lossless,
        "lossless-edge": _encode(edge, SYNTAXES["jpeg-lossless-sv1"], 16),
        "baseline": _jpeg(frames[8]),
        "optimised": _jpeg(frames[8], optimize=True, quality=98),
        "restarts": _jpeg(frames[8], restart_marker_blocks=5),
        "flat": _jpeg(np.zeros((16, 24), np.uint8)),
    }


STREAMS = _streams()


@pytest.mark.parametrize("name", STREAMS)
def test_whole_streams_are_complete(name: str) -> None:
    assert complete(STREAMS[name])
    assert complete(STREAMS[name] + b"\0")  # padding of the fragment


@pytest.mark.parametrize("name", ["lossless-8", "lossless-12", "lossless-16", "baseline", "optimised", "restarts"])
def test_cut_streams_with_an_end_marker_put_on_are_not(name: str) -> None:
    whole = STREAMS[name]
    start = whole.index(b"\xff\xda") + 30
    for length in np.linspace(start, len(whole) - 12, 25).astype(int):
        assert not complete(whole[:length] + END)


@pytest.mark.parametrize("name", ["lossless-8", "lossless-12", "lossless-16", "baseline", "optimised", "restarts"])
def test_streams_that_lost_a_piece_are_not(name: str) -> None:
    whole = STREAMS[name]
    start = whole.index(b"\xff\xda") + 30
    for first in np.linspace(start, len(whole) - 150, 25).astype(int):
        assert not complete(whole[:first] + whole[first + 100 :])


@pytest.mark.parametrize("rows", [61, 63])
def test_a_stream_of_another_height_is_not(rows: int) -> None:
    """The height stands in the start of frame, after marker, length and precision."""
    whole = bytearray(STREAMS["lossless-8"])
    at = whole.index(b"\xff\xc3") + 5
    assert whole[at : at + 2] == bytes([0, 62])
    whole[at + 1] = rows
    assert not complete(bytes(whole))


def test_colour_and_progressive_pictures_are_not_of_this_kind() -> None:
    frame = asymmetric_frames()[0]
    for other in (_jpeg(np.stack([frame] * 3, axis=2)), _jpeg(frame, progressive=True)):
        with pytest.raises(ValueError, match="neither a lossless nor a sequential"):
            complete(other)
