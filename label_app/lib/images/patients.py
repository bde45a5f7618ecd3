"""Opaque names of patients: the same for all images of a patient, and telling nobody who it is.

A hash of the PatientID alone could be guessed by hashing all numbers there are; it is keyed with a secret of the labels folder.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
from pathlib import Path

from label_app.lib.images.study_index import ImageEntry
from monai_tavr.files import creating

__all__ = ["PatientKeys"]

logger = logging.getLogger(__name__)

_SECRET_BYTES = 32


class PatientKeys:
    """Names patients. Safe for use by several threads.

    Args:
        folder: the labels folder; its file ``patients.key`` is made when the first name is asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "patients.key"
        self._lock = threading.Lock()
        self._secret: bytes | None = None

    def key(self, entry: ImageEntry) -> str:
        """16 hexadecimal digits for the patient of an image; one whose file names no patient stands for its study."""
        header = entry.instances[0].header
        patient = str(header.get("PatientID") or "").strip()
        text = f"patient {patient}" if patient else f"study {entry.instances[0].study_uid}"
        return hmac.new(self._key(), text.encode(), hashlib.sha256).hexdigest()[:16]

    def _key(self) -> bytes:
        with self._lock:
            if self._secret is None:
                self._secret = self._read_or_make()
            return self._secret

    def _read_or_make(self) -> bytes:
        try:
            with creating(self._path, mode=0o600) as stream:
                stream.write(secrets.token_bytes(_SECRET_BYTES))
        except FileExistsError:
            pass
        except OSError as error:
            logger.warning("the labels folder cannot be written (%s): patients have other keys at the next start", error.strerror)
            return secrets.token_bytes(_SECRET_BYTES)
        return self._path.read_bytes()
