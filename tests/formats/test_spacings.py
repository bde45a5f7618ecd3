"""Tables of spacings: by case, by picture, and BAMNet's, which speak of images of another size than the pictures have."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_tavr.formats.spacings import PixelSpacing, read_spacings, spacing_of
from monai_tavr.formats.table import LossWarning

BAMNET = """seg_patient,image_name,dicom_file,rows,cols,pixel_spacing_source,pixel_spacing_row_mm,pixel_spacing_col_mm
1,0001_01_003.png,a.dcm,512,512,ImagerPixelSpacing,0.39062500,0.39062500
8,8_0_23.png,b.dcm,1000,1000,ImagerPixelSpacing,0.2,0.2
9,run_001.png,c.dcm,512,256,ImagerPixelSpacing,0.3,0.6
12,run_001.png,d.dcm,512,512,ImagerPixelSpacing,0.3,0.3
"""


def test_a_case_or_a_picture_is_found(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("case;pixel_spacing_row_mm\n001;0.25\nrun_7.png;0.3\n")
    spacings = read_spacings(tmp_path / "t.csv")
    assert spacing_of("001/img/a.png", spacings, columns=40, rows=30) == (0.25, 0.25)
    assert spacing_of("002/img/run_7.png", spacings, columns=40, rows=30) == (0.3, 0.3)
    assert spacing_of("002/img/run_8.png", spacings, columns=40, rows=30) is None


def test_bamnets_table_is_of_the_dicom_images(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(BAMNET)
    spacings = read_spacings(tmp_path / "t.csv")
    # 512 pixels of 0.39 mm are 1024 of half that
    assert spacing_of("001/img/0001_01_003.png", spacings, columns=1024, rows=1024) == pytest.approx((0.1953125, 0.1953125))
    assert spacing_of("train/images/8_0_23.png", spacings, columns=1000, rows=1000) == (0.2, 0.2)
    # one name of two patients: the folder tells them apart, and without one nobody knows
    assert spacing_of("009/img/run_001.jpg", spacings, columns=512, rows=512) == pytest.approx((0.3, 0.3))
    assert spacing_of("012/img/run_001.png", spacings, columns=256, rows=256) == pytest.approx((0.6, 0.6))
    assert spacing_of("train/images/run_001.png", spacings, columns=512, rows=512) is None


def test_rows_without_a_spacing_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image_name,pixel_spacing_row_mm,rows,cols\na.png,0.3,,\nb.png,,512,512\nc.png,0.3,512,512\n")
    with pytest.warns(LossWarning, match="2 rows name no spacing"):
        spacings = read_spacings(tmp_path / "t.csv")
    assert spacing_of("c.png", spacings, columns=512, rows=512) == (0.3, 0.3)
    assert spacing_of("a.png", spacings, columns=512, rows=512) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("case,mm\na,0.3\n", "needs a column 'pixel_spacing_row_mm'"),
        ("case,pixel_spacing_row_mm\na,wide\n", "line 2, pixel_spacing_row_mm: 'wide' is no number"),
        ("case,pixel_spacing_row_mm\na,-1\n", "line 2, pixel_spacing_row_mm"),
        ("case,pixel_spacing_row_mm\na,0.3\na,0.4\n", "line 3: 'a' has another spacing further up"),
    ],
)
def test_what_is_no_table_is_refused(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=words):
        read_spacings(tmp_path / "t.csv")


def test_a_spacing_without_a_size_is_that_of_the_picture() -> None:
    assert PixelSpacing(0.3, 0.4).at(7, 9) == (0.3, 0.4)
