"""The door through which every file is read: whatever damage makes a reader or a decoder raise becomes a :class:`CineError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_tavr.cine import CineError

__all__ = ["refusing_damage"]


@contextmanager
def refusing_damage(path: Path, what: str) -> Iterator[None]:
    """A block that reads a file.

    A damaged file may raise almost anything from deep inside a parser, and decoders written in Rust panic with a `BaseException`.
    The words of such errors quote the header, and with it the patient, so they are left out.

    Args:
        path: the file.
        what: what is damaged, e.g. "the DICOM header".

    Raises:
        CineError: instead of everything but the interruptions of a program.
    """
    try:
        yield
    except (CineError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError:
        raise CineError(path, f"{what} asks for more memory than there is; it is damaged, fetch the file again") from None
    except BaseException as error:
        if (
            isinstance(error, OSError) and error.strerror
        ):  # of the disk; readers of pictures raise it for damage, without a number
            raise CineError(path, f"cannot be read ({error.strerror}); was it moved or deleted?") from None
        raise CineError(path, f"{what} is damaged or truncated ({type(error).__name__}); fetch the file again") from None
