"""The frames of a DICOM file, one at a time: from bytes to stored pixel values, in every transfer syntax of an archive.

Decoders are lenient by nature: given half a JPEG they return a picture whose lower half is invented. A frame is therefore decoded
only after its bytes prove complete: all fragments there, the code stream of the size that the header states and, where the
decoder would not notice, with every sample in it (PS3.5 A.4, ITU-T T.81, T.87, T.800). What follows the end of a stream, and what
does no harm to the picture (another predictor, a lossy stream under a lossless name), is passed over, as viewers do.
"""

from __future__ import annotations

import numpy as np
from pydicom import uid as dicom_uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from monai_tavr.cine import CineError
from monai_tavr.dicom.code_stream import (
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_SEQUENTIAL,
    CodeStream,
    begins_code_stream,
    read_code_stream,
)
from monai_tavr.dicom.door import refusing_damage
from monai_tavr.dicom.file import DicomFile
from monai_tavr.dicom.fragments import Fragment, index_fragments
from monai_tavr.dicom.run_length import decode_rle

__all__ = ["FrameDecoder"]

# Decoders of each syntax in the order they are tried; JPEG Lossless and RLE are decoded here, and sequential JPEG that the others
# refuse. Only those that refuse damaged data where the data do not prove complete by themselves: pylibjpeg returns a wrong
# picture from half a JPEG-LS stream.
_PLUGINS: dict[UID, tuple[str, ...]] = {
    dicom_uid.JPEGBaseline8Bit: ("pillow",),
    dicom_uid.JPEGExtended12Bit: ("pylibjpeg",),
    dicom_uid.JPEGLossless: (),
    dicom_uid.JPEGLosslessSV1: (),
    dicom_uid.JPEGLSLossless: ("pyjpegls", "gdcm"),
    dicom_uid.JPEGLSNearLossless: ("pyjpegls", "gdcm"),
    dicom_uid.JPEG2000Lossless: ("pylibjpeg",),
    dicom_uid.JPEG2000: ("pylibjpeg",),
    dicom_uid.HTJ2KLossless: ("pylibjpeg",),
    dicom_uid.HTJ2KLosslessRPCL: ("pylibjpeg",),
    dicom_uid.HTJ2K: ("pylibjpeg",),
}
_HUFFMAN = (dicom_uid.JPEGBaseline8Bit, dicom_uid.JPEGExtended12Bit, dicom_uid.JPEGLossless, dicom_uid.JPEGLosslessSV1)
_KINDS = {
    **dict.fromkeys(_HUFFMAN, (*JPEG_SEQUENTIAL, *JPEG_LOSSLESS)),
    **dict.fromkeys((dicom_uid.JPEGLSLossless, dicom_uid.JPEGLSNearLossless), JPEG_LS),
    **dict.fromkeys((syntax for syntax in _PLUGINS if "2000" in syntax.name), JPEG_2000),
}
_END = b"\xff\xd9"
_MOST_EDGES = 0.1  # of the pixels; an overlay is lines and text


class FrameDecoder:
    """Frame index -> (H, W) stored values, uint8 or uint16, or int32 where they are signed.

    Args:
        file: an open X-ray cine.

    Raises:
        CineError: the transfer syntax is not supported, or the pixel data are not complete.
    """

    def __init__(self, file: DicomFile) -> None:
        self._file = file
        self.rows, self.columns = int(file.dataset.Rows), int(file.dataset.Columns)
        self.number_of_frames = file.number_of_frames
        self._allocated, self._stored = int(file.dataset.BitsAllocated), int(file.dataset.BitsStored)
        self._signed = file.whole("PixelRepresentation") == 1
        high_bit = file.whole("HighBit")
        self._shift = 0 if high_bit is None else high_bit + 1 - self._stored
        self._frames: list[list[Fragment]] = []
        if not file.syntax.is_transfer_syntax:
            raise file.error(f"transfer syntax {file.syntax} is unknown; convert the file to an uncompressed one")
        if not file.syntax.is_encapsulated:
            self._check_native()
        elif file.syntax not in (dicom_uid.RLELossless, *_PLUGINS):
            raise file.error(f"transfer syntax {file.syntax.name} is not supported; convert the file to JPEG Lossless or raw")
        else:
            self._frames = index_fragments(file)
        if self._shift and (self._frames or not 0 <= self._shift <= self._allocated - self._stored):
            raise file.error(f"HighBit {high_bit} does not fit {self._stored} bits stored: the header is damaged")

    def __call__(self, index: int) -> np.ndarray:
        values, bits = self._decode(index) if self._frames else (self._native(index), self._stored)
        if not self._signed:
            return values
        wide = (values.astype(np.int32) & ((1 << bits) - 1)) << (32 - bits)
        return wide >> (32 - bits)  # copies the sign bit upwards

    def _check_native(self) -> None:
        file = self._file
        expected = self._bytes_per_frame * self.number_of_frames
        if file.pixel_length is None:
            raise file.error(f"compressed pixel data in the uncompressed syntax {file.syntax.name}: the header is damaged")
        there = file.stamp.size - file.pixel_start if file.inflated is None else len(file.inflated) - file.pixel_start
        if min(there, file.pixel_length) < expected:
            there = min(there, file.pixel_length)
            raise file.error(f"{there} of {expected} bytes of pixel data: the file is truncated; fetch it again")
        if file.pixel_length > expected and not self._is_padding(expected, file.pixel_length - expected):
            raise file.error(
                f"{file.pixel_length} bytes of pixel data where {self.number_of_frames} frame(s) of {self.rows} x {self.columns} "
                f"need {expected}: the header does not describe its pixels"
            )

    def _is_padding(self, end: int, spare: int) -> bool:
        """Whether the bytes behind the last frame are padding (PS3.5 8.1.1), not pixels that the header does not account for.

        With other rows or columns than the header's there would be a row or column more, in every frame. A row of zeros below
        a single frame harms no pixel.
        """
        pixel = self._allocated // 8
        if spare < pixel * min(self.rows, self.columns):
            return True
        lines = [self.number_of_frames * pixel * length for length in (self.rows, self.columns)]
        if spare >= self._bytes_per_frame or (self.number_of_frames > 1 and not all(spare % line for line in lines)):
            return False
        return not self._file.read(self._file.pixel_start + end, spare).strip(b"\0")

    @property
    def _bytes_per_frame(self) -> int:
        return self.rows * self.columns * self._allocated // 8

    def _native(self, index: int) -> np.ndarray:
        file, length = self._file, self._bytes_per_frame
        order = "<" if file.syntax.is_little_endian else ">"
        start = index * length
        if self._allocated == 8 and order == ">" and file.pixel_vr == "OW":
            # bytes come in swapped pairs; a frame of odd length begins or ends within one
            first, last = start // 2 * 2, (start + length + 1) // 2 * 2
            swapped = np.frombuffer(file.read(file.pixel_start + first, last - first), "u2").byteswap().view(np.uint8)
            values = swapped[start - first : start - first + length]
        else:
            values = np.frombuffer(file.read(file.pixel_start + start, length), f"{order}u{self._allocated // 8}")
        values = values.reshape(self.rows, self.columns).astype(values.dtype.newbyteorder("="))
        return self._without_graphics(values >> self._shift if self._shift else values, index)

    def _decode(self, index: int) -> tuple[np.ndarray, int]:
        """Unsigned samples (H, W), and how many bits of them count."""
        data = b"".join(self._file.read(*fragment) for fragment in self._frames[index])
        if self._file.syntax == dicom_uid.RLELossless:
            return self._without_graphics(self._runs(data, index), index), self._stored
        stream, data = self._checked(data, index)
        values = self._values(stream, data, index)
        top = int(values.max())
        if top >> stream.precision:
            raise self._file.error(f"frame {index} holds grey levels beyond its {stream.precision} bits: the data are damaged")
        if stream.kind in JPEG_2000 and self._signed:
            # the sign is the stream's highest bit, which may be lower than the header's
            return values, min(stream.precision, self._stored)
        if top >> self._stored and _is_lossy(stream):  # overshoots, as it may when coded with more bits
            return np.minimum(values, values.dtype.type((1 << self._stored) - 1)), self._stored
        return self._without_graphics(values, index), self._stored

    def _without_graphics(self, values: np.ndarray, index: int) -> np.ndarray:
        """Samples without what overlays may have left in the bits beyond those stored (retired, PS3.5 8.1.1).

        Grey levels continue there where the header states too few bits, and a stream that is not decoded as it was coded has any.
        """
        if self._stored == self._allocated or not (self._signed or int(values.max()) >> self._stored):
            return values
        masked = values & values.dtype.type((1 << self._stored) - 1)
        if self._signed or self._has_embedded_overlay or _is_graphics(values >> self._stored, values, masked, bool(self._frames)):
            return masked
        raise self._file.error(
            f"frame {index} holds grey levels beyond the {self._stored} bits stored: header and pixels do not agree"
        )

    def _values(self, stream: CodeStream, data: bytes, index: int) -> np.ndarray:
        """(H, W) unsigned samples of a code stream that was checked."""
        file = self._file
        options = {
            "index": 0,
            "raw": True,
            "transfer_syntax_uid": file.syntax,
            "pixel_keyword": "PixelData",
            "rows": self.rows,
            "columns": self.columns,
            "number_of_frames": 1,
            "samples_per_pixel": 1,
            "bits_allocated": self._allocated,
            "bits_stored": self._stored,
            "pixel_representation": 0,  # the sign is put back here, the same way for every decoder
            "photometric_interpretation": "MONOCHROME2",
            "correct_unused_bits": False,
        }
        reasons = []
        for plugin in () if stream.kind in JPEG_LOSSLESS else _PLUGINS[file.syntax]:
            try:
                with refusing_damage(file.path, "the code stream"):
                    values, _ = get_decoder(file.syntax).as_array(encapsulate([data]), decoding_plugin=plugin, **options)  # type: ignore[arg-type]
                return values
            except CineError as error:
                reasons.append(f"{plugin} says that {error.reason}")
        if stream.kind in (*JPEG_LOSSLESS, *JPEG_SEQUENTIAL):
            return self._decoded_here(stream, data, index)
        raise file.error(f"frame {index} cannot be decoded ({file.syntax.name}): {'; '.join(reasons)}")

    def _decoded_here(self, stream: CodeStream, data: bytes, index: int) -> np.ndarray:
        """(H, W) unsigned samples of a JPEG."""
        from monai_tavr.dicom.jpeg import decode_lossless_jpeg, decode_sequential_jpeg  # bring numba, which only these need

        try:
            values = (decode_lossless_jpeg if stream.kind in JPEG_LOSSLESS else decode_sequential_jpeg)(stream, data)
        except ValueError as error:
            raise self._file.error(f"frame {index} is damaged: {error}; fetch the file again") from None
        return values.astype(np.uint8) if self._allocated == 8 else values

    @property
    def _has_embedded_overlay(self) -> bool:
        """Whether unused bits hold an overlay, as retired files have it."""
        groups = range(0x6000, 0x6020, 2)
        return any((group, 0x0102) in self._file.dataset and self._file.dataset[group, 0x0102].value for group in groups)

    def _runs(self, data: bytes, index: int) -> np.ndarray:
        """(H, W) unsigned samples of an RLE frame."""
        try:
            return decode_rle(data, rows=self.rows, columns=self.columns, samples=self._allocated // 8)
        except ValueError as error:
            raise self._file.error(f"frame {index} is damaged: {error}; fetch the file again") from None

    def _checked(self, data: bytes, index: int) -> tuple[CodeStream, bytes]:
        """The header of a code stream, and its own bytes; CineError where it is not whole or not what the header describes."""
        file = self._file
        try:
            stream = read_code_stream(data)
        except ValueError as error:
            raise file.error(f"frame {index} is damaged: {error}; fetch the file again") from None
        if not stream.end and stream.kind in JPEG_LS:  # the others prove whole without
            raise file.error(f"frame {index} has no end marker: the pixel data are truncated; fetch the file again")
        if (stream.rows, stream.columns, stream.components) != (self.rows, self.columns, 1):
            raise file.error(
                f"frame {index} is coded as {stream.rows} x {stream.columns} pixels of {stream.components} sample(s), the header "
                f"says {self.rows} x {self.columns} of 1: header and pixels do not belong together"
            )
        if reason := self._contradiction(stream, data):
            raise file.error(f"frame {index} {reason}: header and pixels do not belong together")
        data = data[: stream.end] if stream.end else data + _END
        if stream.kind in JPEG_SEQUENTIAL and not _is_complete(stream, data):
            raise file.error(f"frame {index} does not hold its whole picture: the data are damaged; fetch the file again")
        return stream, data

    def _contradiction(self, stream: CodeStream, data: bytes) -> str | None:
        """What in a stream would make another picture of it than the header describes (PS3.5 8.2, A.4)."""
        syntax = self._file.syntax
        if stream.kind not in _KINDS[syntax]:
            return f"is no {syntax.name} stream"
        if stream.precision > self._allocated:
            return f"has samples of {stream.precision} bits where {self._allocated} are allocated"
        if stream.kind in JPEG_LS and (lacking := stream.scan[3] & 15):
            return f"lacks {lacking} bits of its samples, which no decoder puts back"
        rest = data[stream.end :] if stream.end else b""
        if begins_code_stream(rest) or begins_code_stream(rest[1:]):  # a byte may pad the first to an even length
            return "is followed by another picture within its fragments"
        return None


def _is_lossy(stream: CodeStream) -> bool:
    if stream.kind in JPEG_2000:
        return not stream.reversible
    return stream.kind in JPEG_SEQUENTIAL or (stream.kind in JPEG_LS and stream.scan[1] > 0)


def _is_graphics(beyond: np.ndarray, values: np.ndarray, masked: np.ndarray, coded: bool) -> bool:
    """Whether the bits ``beyond`` those stored are drawn over the picture, rather than part of its grey levels.

    Grey levels have smaller steps with those bits than without. Of ``coded`` pixels they must also be one plane of few edges.
    """
    if _roughness(masked) > _roughness(values):
        return False
    return not coded or (len(np.unique(beyond)) <= 2 and (np.diff(beyond, axis=1) != 0).mean() < _MOST_EDGES)


def _roughness(values: np.ndarray) -> int:
    """Sum of the steps from pixel to pixel along the rows."""
    return int(np.abs(np.diff(values.astype(np.int32), axis=1)).sum())


def _is_complete(stream: CodeStream, data: bytes) -> bool:
    from monai_tavr.dicom.jpeg import is_complete_jpeg  # brings numba, which only these syntaxes need

    try:
        return is_complete_jpeg(stream, data)
    except ValueError:
        return False
