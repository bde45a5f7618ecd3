"""The MONAI Label app: TAVR keypoints on X-ray angiography cines of a folder or an archive.

MONAI Label's server finds the class in ``main.py`` and makes it. Start it by ``monai-tavr serve`` or
``python -m label_app.server``: they put the guard in front of the server, without which this app does not start.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException

from label_app.lib.activelearning.frame_scan import FrameScan
from label_app.lib.activelearning.next_frame import NextFrame
from label_app.lib.activelearning.strategy import FrameStrategy
from label_app.lib.auth.audit import AuditLog
from label_app.lib.configs.tavr_keypoints import TavrKeypoints, load_bundle_predictor
from label_app.lib.datastores.cine_folder import CineFolderDatastore
from label_app.lib.images.patients import PatientKeys
from label_app.lib.infers.batch import BatchPrediction
from label_app.lib.infers.tavr_keypoints import KeypointInferTask
from label_app.lib.labels.agreement import METHOD
from label_app.lib.models.record import TASK
from label_app.lib.scoring.tavr_keypoints import AgreementScoring
from label_app.lib.trainers.snapshot import Snapshot, take_snapshot
from label_app.lib.trainers.tavr_keypoints import KeypointTrainTask
from label_app.lib.trainers.training import Training
from monai_tavr import __version__
from monai_tavr.active_learning.strategies import STRATEGIES
from monai_tavr.formats.label_json import label_to_dict
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.label import CineLabel

logger = logging.getLogger(__name__)


class TAVRApp(MONAILabelApp):
    """Inference, training, strategies and scores over the registered images of the studies.

    Args:
        app_dir: this folder.
        studies: the studies folder.
        conf: from the entry module: ``index`` of the studies, ``submissions`` with their ``labels`` (:class:`LabelStore`) and
            ``audit`` (:class:`AuditLog`), ``patients`` and ``agreement``, and optionally ``load_predictor``, ``teacher_below``.

    Raises:
        MONAILabelException: the app is started by MONAI Label's own command, without protection.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, Any]) -> None:
        if "index" not in conf:
            raise MONAILabelException(
                MONAILabelError.APP_INIT_ERROR,
                "start this app with `monai-tavr serve` or `python -m label_app.server start_server`: MONAI Label's own command "
                "would serve it without protection",
            )
        self.labels_folder: Path = conf["labels"].root
        self.audit: AuditLog = conf["audit"]
        self.patients: PatientKeys = conf["patients"]
        self._config = TavrKeypoints(conf.get("load_predictor") or load_bundle_predictor, folder=self.labels_folder)
        self.models = self._config.models
        self.batch = BatchPrediction(self.predict)
        folder, below = self.labels_folder / "training", conf.get("teacher_below", 0)
        self.training = Training(folder, self.models, self._snapshot, self.audit, teacher_below=below)
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
        """The registered images and their labels; MONAI Label asks once."""
        return CineFolderDatastore(self.conf["index"], self.conf["submissions"])

    def init_scoring_methods(self) -> dict[str, AgreementScoring]:
        """How well the models agree with the submitted labels."""
        return {METHOD: AgreementScoring(self.conf["agreement"])}

    def init_infers(self) -> dict[str, KeypointInferTask]:
        """The one model, under its name."""
        return {TASK: self._config.infer()}

    def init_trainers(self) -> dict[str, KeypointTrainTask]:
        """The training of that model."""
        return {TASK: KeypointTrainTask(self.training)}

    def init_strategies(self) -> dict[str, FrameStrategy]:
        """Every strategy that proposes the next frame, by name."""
        cache, turn = self.labels_folder / "cache" / "active_learning", self._config.infer().turns.turn
        scan = FrameScan(self.conf["index"], self.models, cache, turn=turn)
        frames = NextFrame(self.conf["labels"], self.patients, self.models, scan)
        return {name: FrameStrategy(name, strategy.words, frames) for name, strategy in STRATEGIES.items()}

    def next_sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The next frame to label. MONAI Label's own method knows whole images, and answers with a path.

        Raises:
            MONAILabelException: there is no such strategy.
        """
        strategy = self._strategies.get(request.get("strategy"))
        if strategy is None:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, f"no such strategy; there are {list(self._strategies)}")
        answer: dict[str, Any] = strategy(request, self._datastore)
        return answer

    def _snapshot(self, trained_on: set[str], validated_on: list[str]) -> Snapshot:
        """The submitted labels as they are now, for a training."""
        index = self.conf["index"]
        return take_snapshot(
            self.conf["labels"],
            find=index.find_image,
            patient=self.patients.key,
            trained_on=trained_on,
            validated_on=validated_on,
            images=index.images.values(),
        )

    def infer(self, request: dict[str, Any], datastore: CineFolderDatastore | None = None) -> dict[str, Any]:
        """Predict on a registered image. MONAI Label's own method would take any path that exists on this machine.

        Raises:
            MONAILabelException: there is no such model or image, or the request makes no sense.
        """
        asked = {name: request.get(name) for name in ("frames", "allowed_groups")}
        label = self.predict(str(request.get("image", "")), model=request.get("model"), **asked)
        return {"label": None, "tag": None, "file": None, "params": label_to_dict(label)}

    def predict(self, image_id: str, *, model: Any = TASK, frames: Any = None, allowed_groups: Any = None) -> CineLabel:
        """The active model's label of a registered image; arguments as in :mod:`label_app.lib.infers.infer_request`.

        Raises:
            MONAILabelException: there is no such model or image, or an argument makes no sense.
        """
        task = self._infers.get(model)
        if task is None:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, f"no such model; models are {list(self._infers)}")
        label: CineLabel = task.predict(self._datastore.entry(image_id), frames=frames, allowed_groups=allowed_groups)
        return label

    @property
    def schema(self) -> KeypointSchema:
        """Of the active model; of the labels where there is none."""
        schema: KeypointSchema = self.conf["labels"].schema if self.models.active is None else self.models.predictor().schema
        return schema

    def model(self) -> dict[str, Any]:
        """What the viewer must know: the schema to draw, and the model's identity or what is wrong with it."""
        active, schema = self.models.active, self.schema.to_dict()
        if active is None:
            return {"problem": self.models.problem, "schema": schema}
        identity = {"id": active.id, "version": active.version, "weights_sha256": active.weights_sha256}
        warning = {"warning": self.models.problem} if self.models.problem else {}
        return {"schema": schema, "model": identity | warning}

    def on_init_complete(self) -> None:
        """Nothing to do: there are no sessions to tidy up and no scores to update."""
        logger.info("MONAI Label is ready")
