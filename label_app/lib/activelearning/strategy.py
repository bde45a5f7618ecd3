"""The strategies as MONAI Label knows them; :class:`NextFrame` does the work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from monailabel.interfaces.tasks.strategy import Strategy

from label_app.lib.activelearning.next_frame import NextFrame
from label_app.lib.activelearning.next_request import NextRequest
from label_app.lib.datastores.cine_folder import CineFolderDatastore

__all__ = ["FrameStrategy"]


class FrameStrategy(Strategy):
    """One strategy over the frames of all registered images.

    Args:
        name: of :data:`monai_tavr.active_learning.strategies.STRATEGIES`.
        description: in words.
        frames: chooses them.
    """

    def __init__(self, name: str, description: str, frames: NextFrame) -> None:
        super().__init__(description)
        self.name, self.frames = name, frames

    def __call__(self, request: Mapping[str, Any], datastore: CineFolderDatastore) -> dict[str, Any]:
        """The next frame; ``user`` of the request is who asks, the rest is :class:`NextRequest`'s.

        Raises:
            MONAILabelException: the request is not valid, or names an image that is not registered.
        """
        try:
            wanted = NextRequest.parse(request)
        except ValueError as error:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, str(error)) from error
        if wanted.image is None:
            datastore.refresh()  # studies may have come
            images = datastore.index.images
        else:
            entry = datastore.entry(wanted.image)
            images = {entry.image_id: entry}
        return self.frames.choose(self.name, wanted, images, str(request.get("user", "local")))
