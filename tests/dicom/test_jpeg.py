"""A JPEG counts as complete only when it holds exactly its picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from xa_files import asymmetric_frames

from monai_tavr.dicom.code_stream import JPEG_LOSSLESS, read_code_stream
from monai_tavr.dicom.jpeg import decode_lossless_jpeg, decode_sequential_jpeg, is_complete_jpeg
from monai_tavr.dicom.writer import SYNTAXES, _encode

END = b"\xff\xd9"


def complete(data: bytes) -> bool:
    stream = read_code_stream(data)
    if stream.kind not in JPEG_LOSSLESS:
        return is_complete_jpeg(stream, data)
    try:
        decode_lossless_jpeg(stream, data)
    except ValueError:
        return False
    return True


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
        for read in (is_complete_jpeg, decode_lossless_jpeg, decode_sequential_jpeg):
            with pytest.raises(ValueError, match=r"no (lossless|sequential) JPEG of one component"):
                read(read_code_stream(other), other)


@pytest.mark.parametrize("name", ["lossless-8", "lossless-10", "lossless-12", "lossless-16", "lossless-edge"])
def test_lossless_samples_are_those_of_another_decoder(name: str) -> None:
    """GDCM's, which is libjpeg's; and those that were coded."""
    data = STREAMS[name]
    stream = read_code_stream(data)
    options = {
        "index": 0,
        "raw": True,
        "transfer_syntax_uid": SYNTAXES["jpeg-lossless-sv1"],
        "pixel_keyword": "PixelData",
        "rows": stream.rows,
        "columns": stream.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": 8 if stream.precision <= 8 else 16,
        "bits_stored": stream.precision,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
    }
    other, _ = get_decoder(SYNTAXES["jpeg-lossless-sv1"]).as_array(encapsulate([data]), decoding_plugin="gdcm", **options)
    np.testing.assert_array_equal(decode_lossless_jpeg(stream, data), other)
    if name != "lossless-edge":
        np.testing.assert_array_equal(other, asymmetric_frames(int(name[9:]), count=1, rows=62, columns=91)[0])


@pytest.mark.parametrize(("offset", "new"), [(7, predictor) for predictor in range(2, 8)] + [(9, 1), (9, 3)])
def test_another_predictor_or_point_transform_shows_no_other_picture(offset: int, new: int) -> None:
    """The grey levels run out of their bits."""
    data = bytearray(STREAMS["lossless-8"])
    data[data.index(b"\xff\xda") + offset] = new
    assert not complete(bytes(data))


@pytest.mark.parametrize("name", ["baseline", "optimised", "restarts", "flat"])
def test_sequential_samples_are_those_of_another_decoder(name: str) -> None:
    """But for its rounding; the restarts begin the means of the blocks anew."""
    data = STREAMS[name]
    other = np.asarray(Image.open(io.BytesIO(data)), int)
    assert np.abs(decode_sequential_jpeg(read_code_stream(data), data) - other).max() <= 1


def test_a_sequential_stream_without_its_quantisation_table_is_refused() -> None:
    data = STREAMS["flat"]
    at = data.index(b"\xff\xdb")
    data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    with pytest.raises(ValueError, match="no quantisation table"):
        decode_sequential_jpeg(read_code_stream(data), data)
