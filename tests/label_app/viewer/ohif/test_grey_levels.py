"""Frames are what OHIF shows: grey levels on its canvas, over what decides about them, beside those that the model sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from app_server import Server, start_label_server
from playwright.sync_api import Page
from pydicom.dataset import Dataset
from viewer_page import viewer_page, wait_for_frame
from xa_files import edit, item

from monai_tavr.dicom import open_cine
from monai_tavr.dicom.writer import XAHeader, write_xa

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STUDY = "2.25.8100"
PATCH = 16  # pixels of a side of each of the picture's 4 x 4 flat patches
LEVELS = np.linspace(0, 255, 16).astype(np.uint8).reshape(4, 4)
FALLING = [int(4095 * (1 - i / 255) ** 2) for i in range(256)]


@dataclass(frozen=True)
class Case:
    """What of a header decides about the grey levels that are shown."""

    lut: str
    window: tuple[int | None, int | None] | None
    photometric: str
    shape: str | None

    def __call__(self, ds: Dataset) -> None:
        lut = item(LUTDescriptor=[256, 0, 12], ModalityLUTType="US", LUTData=FALLING)
        lut["LUTData"].VR = "US"
        if self.lut == "rescaled":
            ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 2, -10, "US"
        elif self.lut == "VOI":
            del lut.ModalityLUTType
            ds.VOILUTSequence = [lut]
        elif self.lut != "none":
            ds.ModalityLUTSequence, ds.PixelIntensityRelationship = [lut], self.lut
        ds.WindowCenter, ds.WindowWidth = self.window or (None, None)
        if self.window is None:
            del ds.WindowCenter, ds.WindowWidth
        ds.PhotometricInterpretation = self.photometric
        if self.shape:
            ds.PresentationLUTShape = self.shape

    @property
    def span(self) -> tuple[float, float]:
        """What black and white are among the grey levels."""
        return (-10, 500) if self.lut == "rescaled" else (0, 255)


CASES = [
    Case(*values)
    for values in product(
        ["none", "rescaled", "LIN", "LOG"],  # relationship of the falling LUT
        [None, (None, None), (128, 256), (64, 64)],  # (None, None): there, and empty
        ["MONOCHROME1", "MONOCHROME2"],
        [None, "IDENTITY", "INVERSE"],  # with the photometric interpretation, and against it
    )
] + [Case("VOI", (64, 64), photometric, None) for photometric in ("MONOCHROME1", "MONOCHROME2")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """SOP instance UID -> file: one series of single frames, one for each case."""
    folder = tmp_path_factory.mktemp("levels") / "studies"
    found = {f"{STUDY}.1.{number}": folder / f"{number}.dcm" for number in range(1, len(CASES) + 1)}
    frame = np.kron(LEVELS, np.ones((PATCH, PATCH), np.uint8))[None]
    for number, ((sop, path), case) in enumerate(zip(found.items(), CASES, strict=True), start=1):
        header = XAHeader(study_uid=STUDY, series_uid=f"{STUDY}.1", sop_uid=sop, instance_number=number)
        write_xa(path, frame, header=header)
        edit(path, case)
    return found


@pytest.fixture(scope="module")
def server(files: dict[str, Path]) -> Iterator[Server]:
    with start_label_server(next(iter(files.values())).parents[1]) as running:
        yield running


@pytest.fixture(scope="module")
def page(server: Server, problems: list[str]) -> Iterator[Page]:
    with viewer_page(server.url, problems) as opened:
        opened.set_viewport_size({"width": 900, "height": 400})  # small pictures are drawn sooner
        opened.goto(f"{server.url}/ohif/tavr?StudyInstanceUIDs={STUDY}")
        wait_for_frame(opened)
        yield opened


def test_grey_levels_are_those_of_ohif(page: Page, files: dict[str, Path], problems: list[str]) -> None:
    """Each file alone in OHIF's viewport, and the middle of each patch on its canvas."""
    middles = [PATCH * i + (PATCH - 1) / 2 for i in range(4)]
    shown = page.evaluate(
        """async middles => {
          const {mapping, parseImageId} = await import('/tavr/viewer/ohif/viewport.js');
          const viewport = window.tavr.activeViewport();
          const canvas = viewport.getCanvas();
          const ratio = canvas.width / canvas.clientWidth;
          const level = at => canvas.getContext('2d').getImageData(...at.map(v => Math.floor(v * ratio)), 1, 1).data[0];
          const found = {};
          for (const id of viewport.getImageIds()) {
            const {IMAGE_RENDERED} = window.cornerstone.Enums.Events;
            const rendered = new Promise(done => viewport.element.addEventListener(IMAGE_RENDERED, done, {once: true}));
            await viewport.setStack([id], 0);
            viewport.render();
            await rendered;
            const {toScreen} = mapping(viewport);
            found[parseImageId(id).sop] = middles.map(y => middles.map(x => level(toScreen(x, y))));
          }
          return found;
        }""",
        middles,
    )
    assert set(shown) == set(files)
    different = []
    for (sop, path), case in zip(files.items(), CASES, strict=True):
        low, high = case.span
        ours = 255 * (open_cine(path).frame(0)[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH] - low) / (high - low)
        if np.abs(ours - np.array(shown[sop])).max() > 2:
            different.append((case, ours.round().tolist(), shown[sop]))
    assert different == []
    assert problems == []
