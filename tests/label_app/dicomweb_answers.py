"""What a DICOMweb service answers, taken apart as a viewer does."""

from __future__ import annotations

import email
import email.policy

import httpx
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


def parts(answer: httpx.Response) -> list[tuple[str, str | None, bytes]]:
    """(media type, transfer syntax, content) of every part of a multipart answer."""
    assert answer.status_code == 200, answer.text
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP)
    out = []
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        out.append((part.get_content_type(), part.get_param("transfer-syntax"), content))
    return out  # type: ignore[return-value]


def as_pixels(content: bytes, syntax: str, header: Dataset) -> np.ndarray:
    """Decode one frame's bytes as a viewer does that knows its transfer syntax only."""
    dataset = Dataset()
    dataset.update({e.tag: e for e in header if e.tag.group == 0x0028})
    dataset.NumberOfFrames = 1
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([content]) if UID(syntax).is_compressed else content
    dataset["PixelData"].VR = "OB" if UID(syntax).is_compressed or header.BitsAllocated == 8 else "OW"
    dataset["PixelData"].is_undefined_length = UID(syntax).is_compressed
    return dataset.pixel_array
