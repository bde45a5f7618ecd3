"""Keypoints of a batch into label files, at the end of an inference pipeline."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_tavr.dicom import open_cine
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.keypoints import Keypoints
from monai_tavr.label import CineLabel, PointEdit

__all__ = ["SaveKeypointsd"]


class SaveKeypointsd(MapTransform):
    """Write the label JSON of each cine: ``data_root/a/b.dcm`` gives ``output_dir/a/b.json``.

    Args:
        keys: lists of :class:`Keypoints`, one per frame.
        output_dir: folder of the files.
        data_root: folder below which the cines lie; a cine elsewhere gives ``output_dir/b.json``.
        image_key: the image, a MetaTensor whose meta data name its file.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        output_dir: str | os.PathLike[str],
        data_root: str | os.PathLike[str] | None = None,
        image_key: str = "image",
    ) -> None:
        super().__init__(keys)
        self.output_dir, self.image_key = Path(output_dir), image_key
        self.data_root = None if data_root is None else Path(data_root).resolve()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        path = Path(str(item[self.image_key].meta["filename_or_obj"])).resolve()
        inside = self.data_root is not None and path.is_relative_to(self.data_root) and path != self.data_root
        place = path.relative_to(self.data_root).parent if inside and self.data_root is not None else Path()
        for key in self.key_iterator(item):
            frames: Sequence[Keypoints] = item[key]
            edits = {(k.frame, name): PointEdit("model") for k in frames for name in k.schema.names}
            label = CineLabel(image=open_cine(path).info.image_info, frames=tuple(frames), edits=edits)
            write_label_json(self.output_dir / place / f"{path.stem}.json", label)
        return item
