"""The mask of the opacified aortic root beside a cine: what the dense task of a training learns from.

One compressed NIfTI file per cine, uint8 of shape (columns, rows, frames), which is how NIfTI orders an X-ray cine. Per frame it
holds :data:`OUTSIDE` and :data:`ROOT` where contrast makes the root's outline visible: the root and the ascending aorta from the
annulus as far up as the column reaches, under devices too, without ventricle and coronaries. Where the root's points are not
visible the whole frame holds :data:`UNKNOWN`: the root is there, and nobody sees where.
"""

from __future__ import annotations

import gzip
import os

import numpy as np
from numpy.typing import NDArray

from monai_tavr.files import replacing

__all__ = ["OUTSIDE", "ROOT", "UNKNOWN", "read_root_masks", "write_root_masks"]

OUTSIDE, ROOT, UNKNOWN = 0, 1, 255


def read_root_masks(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read the masks of a cine.

    Args:
        path: what :func:`write_root_masks` wrote.

    Returns:
        (F, H, W) uint8 masks of :data:`OUTSIDE`, :data:`ROOT` and :data:`UNKNOWN`.

    Raises:
        ValueError: there is no such file, or it holds no such masks; names it.
    """
    import nibabel  # half a second that only those pay who ask for masks
    from nibabel.filebasedimages import ImageFileError

    try:
        masks = np.asarray(nibabel.load(path).dataobj)
    except (OSError, ValueError, ImageFileError) as error:
        raise ValueError(f"{path}: no mask of the aortic root (NIfTI) can be read there: {error}") from error
    if masks.ndim != 3 or masks.dtype != np.uint8:
        raise ValueError(f"{path}: masks are uint8 (columns, rows, frames), got {masks.dtype} {masks.shape}")
    return masks.transpose(2, 1, 0)


def write_root_masks(path: str | os.PathLike[str], masks: NDArray[np.uint8]) -> None:
    """Write the masks of a cine.

    Args:
        path: a ``.nii.gz`` file; its axes are columns, rows and frames.
        masks: (F, H, W) uint8 masks of :data:`OUTSIDE`, :data:`ROOT` and :data:`UNKNOWN`.
    """
    import nibabel  # half a second that only those pay who ask for masks

    image = nibabel.Nifti1Image(masks.transpose(2, 1, 0), np.eye(4), dtype=np.uint8)
    with replacing(path) as stream:
        stream.write(gzip.compress(image.to_bytes(), 6, mtime=0))  # without the time of writing: equal data, equal files
