"""The MONAI Label app: TAVR keypoints on X-ray angiography cines of a folder.

MONAI Label's server loads this file and makes the class. Start it by ``monai-tavr serve`` or ``python -m label_app.server``: they
put the guard in front of the server, without which this app does not start.
"""

from __future__ import annotations

import logging
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException

from label_app.lib.configs.tavr_keypoints import TavrKeypoints, load_bundle_predictor
from label_app.lib.datastores.cine_folder import CineFolderDatastore
from label_app.lib.infers.tavr_keypoints import KeypointInferTask
from monai_tavr import __version__
from monai_tavr.keypoints import TAVR11

logger = logging.getLogger(__name__)

TASK = "tavr_keypoints"


class TAVRApp(MONAILabelApp):
    """One inference task over the registered images of the studies folder.

    Args:
        app_dir: this folder.
        studies: the studies folder.
        conf: from the entry module: ``index``, the studies folder's index, and optionally ``load_predictor``.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, Any]) -> None:
        if "index" not in conf:
            raise MONAILabelException(
                MONAILabelError.APP_INIT_ERROR,
                "start this app with `monai-tavr serve` or `python -m label_app.server start_server`: MONAI Label's own command "
                "would serve it without protection",
            )
        self._config = TavrKeypoints(conf.get("load_predictor") or load_bundle_predictor)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="TAVR keypoints",
            description="Grouped keypoints on X-ray angiography during transcatheter aortic valve replacement",
            version=__version__,
            labels=self._config.infer().labels,
        )

    def init_datastore(self) -> CineFolderDatastore:
        return CineFolderDatastore(self.conf["index"])

    def init_infers(self) -> dict[str, KeypointInferTask]:
        return {TASK: self._config.infer()}

    def infer(self, request: dict[str, Any], datastore: CineFolderDatastore | None = None) -> dict[str, Any]:
        """Predict on a registered image. MONAI Label's own method would take any path that exists on this machine."""
        task = self._infers.get(request.get("model"))
        if task is None:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, f"no such model; models are {list(self._infers)}")
        entry = (datastore or self._datastore).entry(str(request.get("image", "")))
        _, label = task({**request, "image": [str(p) for p in entry.paths]})
        return {"label": None, "tag": None, "file": None, "params": label}

    def model(self) -> dict[str, Any]:
        """What the viewer must know: the schema to draw, and the model's identity or what is wrong with it."""
        task = self._config.infer()
        if task.predictor is None:
            return {"problem": task.problem, "schema": TAVR11.to_dict()}
        identity = {"version": task.predictor.version, "weights_sha256": task.predictor.weights_sha256}
        return {"schema": task.predictor.schema.to_dict(), "model": identity}

    def on_init_complete(self) -> None:
        """Nothing to do: there are no sessions to tidy up and no scores to update."""
        logger.info("MONAI Label is ready")
