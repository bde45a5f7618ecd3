"""The aortic root's mask lies under the picture whatever moves it, and is unknown where nobody has looked."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Flipd, RandAffined

from monai_tavr.formats.root_masks import UNKNOWN
from monai_tavr.transforms import EncodeRootMaskd, FitFramesd, LoadRootMaskd
from monai_tavr.transforms.points import FIELD


def written(path: Path, masks: np.ndarray) -> str:
    """Masks (frames, rows, columns) as the phantom writes them."""
    nib.save(nib.Nifti1Image(masks.transpose(2, 1, 0), np.eye(4)), path)  # type: ignore[attr-defined]
    return str(path)


def test_a_square_lies_where_the_picture_has_it(tmp_path: Path) -> None:
    """40 x 80 native pixels in 64 x 64: scaled by 0.8, with 16 rows of padding above and below."""
    masks = np.zeros((2, 40, 80), np.uint8)
    masks[1, 10:20, 40:60] = 1
    picture = torch.from_numpy(masks[1:].astype(np.float32)) * 100
    item = {
        "image": MetaTensor(picture, affine=torch.eye(3, dtype=torch.float64)),
        "root_mask": written(tmp_path / "root.nii.gz", masks),
        "frame": 1,
    }
    item = Compose([FitFramesd("image", image_size=(64, 64)), LoadRootMaskd()])(item)
    mask = item["root_mask"][0].numpy()
    assert mask.dtype == np.uint8
    assert (mask[:16] == UNKNOWN).all()
    assert (mask[48:] == UNKNOWN).all()
    assert (mask[16:48] != UNKNOWN).all()
    rows, columns = np.nonzero(mask == 1)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (24, 32, 32, 48)

    # what moves the picture moves the mask: they overlap as before but for the edge
    moved = Compose(
        [
            Flipd(["image", "root_mask"], spatial_axis=1),
            RandAffined(
                ["image", "root_mask"], prob=1, rotate_range=(0.2, 0.2), mode=["bilinear", "nearest"], padding_mode="zeros"
            ),
        ]
    )(item)
    bright, root = moved["image"][0].numpy() > 0.5, moved["root_mask"][0].numpy() == 1
    assert (bright & root).sum() > 0.9 * (bright | root).sum()

    # cells of 4 x 4: the pixel in the middle decides; what a collimator hides is unknown
    item["image"].meta[FIELD] = (0, 0, 28, 64)
    cells = EncodeRootMaskd(stride=4)(item)["root_mask"].numpy()
    assert cells.shape == (16, 16)
    assert np.argwhere(cells == 1).tolist() == [[6, column] for column in range(8, 12)]  # row 7 is behind the blade
    assert (cells[7:] == UNKNOWN).all()


def test_a_frame_without_a_mask_is_unknown() -> None:
    item = {"image": MetaTensor(torch.zeros(1, 32, 32), affine=torch.eye(3, dtype=torch.float64))}
    assert (EncodeRootMaskd()(LoadRootMaskd()(item))["root_mask"] == UNKNOWN).all()


def test_what_is_no_mask_is_refused_in_words(tmp_path: Path) -> None:
    image = MetaTensor(torch.zeros(1, 8, 8), affine=torch.eye(3, dtype=torch.float64))
    two = written(tmp_path / "two.nii.gz", np.zeros((2, 8, 8), np.uint8))
    flat = tmp_path / "flat.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((8, 8), np.float32), np.eye(4)), flat)  # type: ignore[attr-defined]
    (tmp_path / "text.nii.gz").write_text("no")
    for path, frame, message in [
        (two, 2, r"two\.nii\.gz: frame 2 asked for, but the file has 2 frame"),
        (str(flat), 0, r"flat\.nii\.gz: masks are uint8 \(columns, rows, frames\), got float32 \(8, 8\)"),
        (str(tmp_path / "text.nii.gz"), 0, r"text\.nii\.gz: no mask"),
        (str(tmp_path / "none.nii.gz"), 0, r"none\.nii\.gz: no such mask"),
    ]:
        with pytest.raises(ValueError, match=message):
            LoadRootMaskd()({"image": image, "root_mask": path, "frame": frame})
