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

from monai_tavr.dicom.file import DicomFile

__all__ = ["FrameDecoder"]

# Decoders of each syntax in the order they are tried. Only those that refuse damaged data where the choice exists: pylibjpeg
# returns a wrong picture from half a JPEG-LS stream, pyjpegls an error.
_PLUGINS = {
    dicom_uid.RLELossless: ("pylibjpeg",),
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
        self.number_of_frames = file.whole("NumberOfFrames") or 1
        self._allocated, self._stored = int(file.dataset.BitsAllocated), int(file.dataset.BitsStored)
        self._signed = file.whole("PixelRepresentation") == 1
        high_bit = file.whole("HighBit")
        self._shift = 0 if high_bit is None else high_bit + 1 - self._stored
        self._frames: list[list[Fragment]] = []
        if not file.syntax.is_transfer_syntax:
            raise file.error(f"transfer syntax {file.syntax} is unknown; convert the file to an uncompressed one")
        if not file.syntax.is_encapsulated:
            self._check_native()
        elif file.syntax not in _PLUGINS:
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
        there = file.stamp.size - file.pixel_start if file.inflated is None else len(file.inflated)
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
        self._check_code_stream(data, index)
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
                values, _ = get_decoder(file.syntax).as_array(encapsulate([data]), decoding_plugin=plugin, **options)  # type: ignore[arg-type]
            except Exception as error:  # decoders raise whatever they like
                reasons.append(str(error).strip().splitlines()[-1].strip())
                continue
            # lossy data may overshoot the stored bits when coded with more
            return values if self._signed else np.minimum(values, values.dtype.type((1 << self._stored) - 1))
        raise file.error(f"frame {index} cannot be decoded ({file.syntax.name}): {'; '.join(reasons)}; fetch the file again")

    def _check_code_stream(self, data: bytes, index: int) -> None:
        if self._file.syntax == dicom_uid.RLELossless:
            return  # its decoder counts the pixels
        if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise self._file.error(f"frame {index} has no end marker: the pixel data are truncated; fetch the file again")
        size = _code_stream_size(data)
        if size is None:
            raise self._file.error(f"frame {index} is not a {self._file.syntax.name} stream: the pixel data are damaged")
        if size != (self.rows, self.columns, 1):
            raise self._file.error(
                f"frame {index} is coded as {size[0]} x {size[1]} pixels of {size[2]} sample(s), the header says "
                f"{self.rows} x {self.columns} of 1: header and pixels do not belong together"
            )
        if self._file.syntax in _HUFFMAN and not _is_complete(data):
            raise self._file.error(f"frame {index} does not hold its whole picture: the data are damaged; fetch the file again")

    def _index_fragments(self) -> list[list[Fragment]]:
        """The fragments of each frame, in order; nothing but item headers is read."""
        file = self._file
        if file.pixel_length is not None:
            raise file.error(f"uncompressed pixel data in the compressed syntax {file.syntax.name}: the header is damaged")
        table, *fragments = self._items()
        if not fragments:
            raise file.error("there are no frames in the pixel data; fetch the file again")
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


def _is_complete(data: bytes) -> bool:
    from monai_tavr.dicom.jpeg import is_complete_jpeg  # brings numba, which only these syntaxes need

    try:
        return is_complete_jpeg(data)
    except ValueError:
        return False


def _code_stream_size(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) that a JPEG, JPEG-LS or JPEG 2000 stream states of itself; None when it is none."""
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg_size(data)
        start = data.find(b"\xff\x4f\xff\x51")  # SOC and SIZ, perhaps within a JP2 box
        if start == 0 or (start > 0 and data[4:8] == b"jP  "):
            width, height, left, top = struct.unpack_from(">4L", data, start + 8)
            return height - top, width - left, struct.unpack_from(">H", data, start + 40)[0]
    except (struct.error, IndexError):
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):  # start of frame
            rows, columns, components = struct.unpack_from(">HHB", data, position + 5)
            return rows, columns, components
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None
