"""The frames of a DICOM file, one at a time: from bytes to stored pixel values, in every transfer syntax of an archive.

Decoders are lenient by nature: given half a JPEG they return a picture whose lower half is invented. A frame is therefore decoded
only after its bytes prove complete: all fragments there, offset tables in agreement, the code stream ended by its end marker,
of the size that the header states and, where the decoder would not notice, with every sample in it (PS3.5 A.4, ITU-T T.81,
T.87, T.800).
"""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
from pydicom import uid as dicom_uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from monai_tavr.cine import CineError
from monai_tavr.dicom.code_stream import (
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_SEQUENTIAL,
    CodeStream,
    read_code_stream,
)
from monai_tavr.dicom.door import refusing_damage
from monai_tavr.dicom.file import DicomFile
from monai_tavr.dicom.limits import plausible_frame
from monai_tavr.dicom.run_length import decode_rle

__all__ = ["FrameDecoder"]

# Decoders of each syntax in the order they are tried. Only those that refuse damaged data where the choice exists: pylibjpeg
# returns a wrong picture from half a JPEG-LS stream, pyjpegls an error.
_PLUGINS = {
    dicom_uid.JPEGBaseline8Bit: ("pillow",),
    dicom_uid.JPEGExtended12Bit: ("pylibjpeg",),
    dicom_uid.JPEGLossless: ("gdcm", "pylibjpeg"),
    dicom_uid.JPEGLosslessSV1: ("gdcm", "pylibjpeg"),
    dicom_uid.JPEGLSLossless: ("pyjpegls",),
    dicom_uid.JPEGLSNearLossless: ("pyjpegls",),
    dicom_uid.JPEG2000Lossless: ("pylibjpeg",),
    dicom_uid.JPEG2000: ("pylibjpeg",),
    dicom_uid.HTJ2KLossless: ("pylibjpeg",),
    dicom_uid.HTJ2KLosslessRPCL: ("pylibjpeg",),
    dicom_uid.HTJ2K: ("pylibjpeg",),
}
# their decoders paint what is missing and say nothing
_HUFFMAN = (dicom_uid.JPEGBaseline8Bit, dicom_uid.JPEGExtended12Bit, dicom_uid.JPEGLossless, dicom_uid.JPEGLosslessSV1)
_LOSSLESS = (
    dicom_uid.RLELossless,
    dicom_uid.JPEGLossless,
    dicom_uid.JPEGLosslessSV1,
    dicom_uid.JPEGLSLossless,
    dicom_uid.JPEG2000Lossless,
    dicom_uid.HTJ2KLossless,
    dicom_uid.HTJ2KLosslessRPCL,
)
_KINDS = {
    **dict.fromkeys(_HUFFMAN, (*JPEG_SEQUENTIAL, *JPEG_LOSSLESS)),
    **dict.fromkeys((dicom_uid.JPEGLSLossless, dicom_uid.JPEGLSNearLossless), JPEG_LS),
    **dict.fromkeys((syntax for syntax in _PLUGINS if "2000" in syntax.name), JPEG_2000),
}
_ITEM, _DELIMITER = 0xFFFEE000, 0xFFFEE0DD
_TRUNCATED = "the pixel data end too early: the file is truncated; fetch it again"

Fragment = tuple[int, int]  # offset in the file, bytes


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
            self._frames = self._index_fragments()
        if self._shift and (self._frames or not 0 <= self._shift <= self._allocated - self._stored):
            raise file.error(f"HighBit {high_bit} does not fit {self._stored} bits stored: the header is damaged")

    def __call__(self, index: int) -> np.ndarray:
        values = self._decode(index) if self._frames else self._native(index)
        if self._signed:
            wide = (values.astype(np.int32) & ((1 << self._stored) - 1)) << (32 - self._stored)
            return wide >> (32 - self._stored)  # copies the sign bit upwards
        return values

    def _check_native(self) -> None:
        file = self._file
        expected = self._bytes_per_frame * self.number_of_frames
        if file.pixel_length is None:
            raise file.error(f"compressed pixel data in the uncompressed syntax {file.syntax.name}: the header is damaged")
        there = file.stamp.size - file.pixel_start if file.inflated is None else len(file.inflated) - file.pixel_start
        if min(there, file.pixel_length) < expected:
            there = min(there, file.pixel_length)
            raise file.error(f"{there} of {expected} bytes of pixel data: the file is truncated; fetch it again")
        if file.pixel_length > expected + expected % 2:
            raise file.error(
                f"{file.pixel_length} bytes of pixel data where {self.number_of_frames} frame(s) of {self.rows} x {self.columns} "
                f"need {expected}: the header does not describe its pixels"
            )

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
        return (values >> self._shift) & values.dtype.type((1 << self._stored) - 1)  # overlays may lie in the unused bits

    def _decode(self, index: int) -> np.ndarray:
        file = self._file
        data = b"".join(file.read(*fragment) for fragment in self._frames[index])
        if file.syntax == dicom_uid.RLELossless:
            precision, values = self._allocated, self._runs(data, index)
        else:
            precision = self._check_stream(data, index)
            values = self._values(data, index)
        top = int(values.max())
        if self._signed or not top >> min(precision, self._stored):
            return values
        if top >> precision:
            raise file.error(f"frame {index} holds grey levels beyond its {precision} bits: the pixel data are damaged")
        if file.syntax in _LOSSLESS and not self._has_embedded_overlay:
            raise file.error(
                f"frame {index} holds grey levels beyond the {self._stored} bits stored: header and pixels do not agree"
            )
        return np.minimum(values, values.dtype.type((1 << self._stored) - 1))  # lossy data may overshoot when coded with more

    def _values(self, data: bytes, index: int) -> np.ndarray:
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
        for plugin in _PLUGINS[file.syntax]:
            try:
                with refusing_damage(file.path, "the code stream"):
                    values, _ = get_decoder(file.syntax).as_array(encapsulate([data]), decoding_plugin=plugin, **options)  # type: ignore[arg-type]
                return values
            except CineError as error:
                reasons.append(f"{plugin} says that {error.reason}")
        raise file.error(f"frame {index} cannot be decoded ({file.syntax.name}): {'; '.join(reasons)}")

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

    def _check_stream(self, data: bytes, index: int) -> int:
        """Bits that a sample may have; CineError where the stream is not whole or not what the header describes."""
        file = self._file
        if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise file.error(f"frame {index} has no end marker: the pixel data are truncated; fetch the file again")
        try:
            stream = read_code_stream(data)
        except ValueError as error:
            raise file.error(f"frame {index} is damaged: {error}; fetch the file again") from None
        if (stream.rows, stream.columns, stream.components) != (self.rows, self.columns, 1):
            raise file.error(
                f"frame {index} is coded as {stream.rows} x {stream.columns} pixels of {stream.components} sample(s), the header "
                f"says {self.rows} x {self.columns} of 1: header and pixels do not belong together"
            )
        if reason := self._contradiction(stream):
            raise file.error(f"frame {index} {reason}: header and pixels do not belong together")
        if file.syntax in _HUFFMAN and not _is_complete(stream, data):
            raise file.error(f"frame {index} does not hold its whole picture: the data are damaged; fetch the file again")
        return stream.precision

    def _contradiction(self, stream: CodeStream) -> str | None:
        """What in a stream is not as its transfer syntax and the header have it (PS3.5 8.2, A.4)."""
        syntax = self._file.syntax
        _, first, _, last = stream.scan
        if stream.kind not in _KINDS[syntax]:
            return f"is no {syntax.name} stream"
        if stream.precision > self._allocated:
            return f"has samples of {stream.precision} bits where {self._allocated} are allocated"
        if syntax == dicom_uid.JPEGLosslessSV1 and first != 1:
            return f"is coded with predictor {first} where the transfer syntax has 1"
        if syntax == dicom_uid.JPEGLSLossless and first != 0:
            return f"is coded with a tolerance of {first} grey levels in a lossless syntax"
        if stream.kind in (*JPEG_LOSSLESS, *JPEG_LS) and last & 15:
            return f"lacks {last & 15} bits of its samples"
        if syntax in _LOSSLESS and stream.kind in JPEG_2000 and not stream.reversible:
            return "is coded by a wavelet that loses detail in a lossless syntax"
        return None

    def _index_fragments(self) -> list[list[Fragment]]:
        """The fragments of each frame, in order; nothing but item headers is read."""
        file = self._file
        if file.pixel_length is not None:
            raise file.error(f"uncompressed pixel data in the compressed syntax {file.syntax.name}: the header is damaged")
        table, *fragments = self._items()
        if not fragments:
            raise file.error("there are no frames in the pixel data; fetch the file again")
        if self.number_of_frames > len(fragments):
            raise file.error(
                f"{len(fragments)} fragment(s) of pixel data cannot hold the header's {self.number_of_frames} frame(s): it is "
                "damaged, or the file is truncated; fetch it again"
            )
        coded = sum(length for _, length in fragments)
        if not plausible_frame(self.rows, self.columns, coded):
            raise file.error(f"{self.rows} x {self.columns} pixels in {coded} bytes: the header is damaged; fetch the file again")
        offsets = self._offsets(table)
        if offsets:
            return self._group_by_offsets(fragments, offsets)
        if len(fragments) == self.number_of_frames:
            return [[fragment] for fragment in fragments]
        if self.number_of_frames == 1:
            return [fragments]
        return self._group_by_end_markers(fragments)

    def _items(self) -> list[Fragment]:
        """Basic offset table and fragments up to the sequence delimiter."""
        file = self._file
        items: list[Fragment] = []
        position = file.pixel_start
        with file.path.open("rb") as stream:
            while True:
                stream.seek(position)
                head = stream.read(8)
                if len(head) < 8:
                    raise file.error(_TRUNCATED)
                group, element, length = struct.unpack("<HHL", head)
                tag = group << 16 | element
                if tag == _DELIMITER and items:
                    return items
                if tag != _ITEM or length == 0xFFFFFFFF:
                    raise file.error("the pixel data are not a sequence of fragments: the file is damaged; fetch it again")
                if position + 8 + length > file.stamp.size:
                    raise file.error(_TRUNCATED)
                items.append((position + 8, length))
                position += 8 + length

    def _offsets(self, table: Fragment) -> list[int]:
        """Offsets of the frames from the first fragment's item, of the extended or the basic table; empty where there is none."""
        extended = self._file.dataset.get("ExtendedOffsetTable")
        if extended:
            return [int(v) for v in np.frombuffer(extended, "<u8")]
        return [int(v) for v in np.frombuffer(self._file.read(*table), "<u4")] if table[1] and table[1] % 4 == 0 else []

    def _group_by_offsets(self, fragments: list[Fragment], offsets: list[int]) -> list[list[Fragment]]:
        origin = fragments[0][0] - 8
        position = {start - 8 - origin: i for i, (start, _) in enumerate(fragments)}
        firsts = [position.get(offset, -1) for offset in offsets]
        if len(offsets) != self.number_of_frames or firsts[0] != 0 or any(a >= b for a, b in pairwise(firsts)):
            raise self._file.error(
                f"the offset table does not fit the {self.number_of_frames} frame(s) and {len(fragments)} fragment(s): "
                "the file is damaged or truncated; fetch it again"
            )
        return [fragments[a:b] for a, b in zip(firsts, [*firsts[1:], len(fragments)], strict=True)]

    def _group_by_end_markers(self, fragments: list[Fragment]) -> list[list[Fragment]]:
        frames: list[list[Fragment]] = [[]]
        for start, length in fragments:
            frames[-1].append((start, length))
            tail = self._file.read(start + max(0, length - 16), min(16, length)).rstrip(b"\0")
            if tail.endswith(b"\xff\xd9") and self._file.syntax != dicom_uid.RLELossless:
                frames.append([])
        if frames[-1] or len(frames) - 1 != self.number_of_frames:
            raise self._file.error(
                f"{len(fragments)} fragment(s) do not make {self.number_of_frames} frame(s): the file is damaged or truncated; "
                "fetch it again"
            )
        return frames[:-1]


def _is_complete(stream: CodeStream, data: bytes) -> bool:
    from monai_tavr.dicom.jpeg import is_complete_jpeg  # brings numba, which only these syntaxes need

    try:
        return is_complete_jpeg(stream, data)
    except ValueError:
        return False
