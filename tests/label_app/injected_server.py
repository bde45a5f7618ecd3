"""Start the app's server with a predictor that answers from label files: the tests then know every answer.

Run as ``python injected_server.py STUDIES LABELS PORT [FOLDER]``; submitted labels go to FOLDER. What the model says of an image
is LABELS/<SOP instance UID>.json, or that of its first frame's instance.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from label_app import server
from monai_tavr.cine import Cine
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, PointEdit


class LabelReader:
    """Stands for a KeypointPredictor."""

    schema = TAVR11
    version = "0.0.test"
    weights_sha256 = "0" * 64
    batch_size = 2

    def __init__(self, labels: Path) -> None:
        self._labels = labels

    def stream(
        self, cine: Cine, *, frames: Sequence[int] | None = None, allowed_groups: Sequence[str] | None = None
    ) -> Iterator[Keypoints]:
        label = self._said(cine)
        allowed = TAVR11.group_names if allowed_groups is None else allowed_groups
        mask = [TAVR11.group_of(name) in allowed for name in TAVR11.names]
        for frame in range(len(cine)) if frames is None else frames:
            yield label.frame(frame).keep(mask)

    def label(self, cine: Cine, keypoints: Sequence[Keypoints]) -> CineLabel:
        edits = {(k.frame, name): PointEdit(source="model", author="test") for k in keypoints for name in TAVR11.names}
        said = self._said(cine).typical
        typical = {k.frame: said[k.frame] for k in keypoints if k.frame in said}
        return CineLabel(image=cine.info.image_info, frames=tuple(keypoints), edits=edits, typical=typical)

    def _said(self, cine: Cine) -> CineLabel:
        uid = cine.info.sop_instance_uid or cine.info.frame_sop_instance_uids[0]
        return read_label_json(self._labels / f"{uid}.json")


def load(labels: Path) -> LabelReader:
    """The predictor. MONAI Label is loaded by now: try the app as its own command would start it, and log the answer."""
    from monailabel.interfaces.exception import MONAILabelException

    from label_app.lib.app import TAVRApp

    try:
        TAVRApp(app_dir=".", studies=".", conf={})
    except MONAILabelException as refusal:
        logging.getLogger(__name__).info("without the guard: %s", refusal.msg)
    return LabelReader(labels)


if __name__ == "__main__":
    studies, labels, port, *folder = sys.argv[1:]
    server.serve(
        studies=studies,
        port=int(port),
        labels=folder[0] if folder else None,
        load_predictor=lambda: load(Path(labels)),  # type: ignore[return-value]
        log_level="info",
    )
