"""The models that the app has: the shipped one, those that it trained, and which of them is active.

Layout of the folder::

    active                  id of the active model; replaced atomically
    0001-<hash>/model.pt    weights, a plain state dict
    0001-<hash>/thresholds.json, uncertainty.json, typical.npz
    0001-<hash>/record.json what it was trained from and on, its figures, and whether it was published

A model's folder is written under another name and renamed when it is complete, so a killed server leaves none half-written. The
shipped model has no folder; its id is ``shipped``, and without a file ``active`` it is the active one.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from label_app.lib.models.record import SHIPPED, ModelRecord
from monai_tavr.bundle import sha256_of
from monai_tavr.files import replacing
from monai_tavr.formats.checks import mapping, read_json

if TYPE_CHECKING:
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["SHIPPED", "ModelRecord", "ModelRegistry", "NotPublished", "UnknownModel"]

logger = logging.getLogger(__name__)

_ID = re.compile(r"([0-9]{4,8})-[0-9a-f]{12}")
_WEIGHTS, _RECORD, _ACTIVE = "model.pt", "record.json", "active"
_BESIDE = ("thresholds.json", "uncertainty.json", "typical.npz")  # what belongs to weights and may be missing


class UnknownModel(ValueError):
    """There is no such model in the history."""


class NotPublished(ValueError):
    """The model is in the history, but was not found good enough to be used."""


class ModelRegistry:
    """History of the app's models, and the active one ready to predict. Safe for use by several threads.

    A request takes :meth:`predictor` once and keeps it; another model becoming active does not disturb it.

    Args:
        folder: of the history; made at the first publication. None: there is the shipped model only.
        load_shipped: makes the predictor of the bundle's weights.
        load_trained: (shipped predictor, weights) -> the same with other weights; None for :func:`with_weights`.
    """

    def __init__(
        self,
        folder: Path | None,
        load_shipped: Callable[[], KeypointPredictor],
        *,
        load_trained: Callable[[KeypointPredictor, Path], KeypointPredictor] | None = None,
    ) -> None:
        self.folder = folder
        self.problem: str | None = None
        self._load_trained = load_trained or with_weights
        self._changing = threading.Lock()
        self._shipped: KeypointPredictor | None = None
        self._current: tuple[ModelRecord, KeypointPredictor] | None = None
        self._remove_unfinished()
        try:
            self._shipped = load_shipped()
        except (ValueError, OSError, RuntimeError) as error:
            logger.error("the model cannot be used: %s", error)
            self.problem = f"the model cannot be used: {error}"
            return
        self._current = self._load_active(self._shipped)

    def _remove_unfinished(self) -> None:
        for left in self.folder.glob(".new-*") if self.folder else ():
            shutil.rmtree(left, ignore_errors=True)

    def _load_active(self, shipped: KeypointPredictor) -> tuple[ModelRecord, KeypointPredictor]:
        """The model that was active when the server last ran; the shipped one where that cannot be loaded any more."""
        active = self._read_active()
        try:
            return self._load(active)
        except (ValueError, OSError, RuntimeError) as error:
            logger.error("model %s cannot be used, the shipped one is: %s", active, error)
            self.problem = f"model {active} cannot be used, so the shipped one answers: {error}"
            return self._shipped_record(shipped), shipped

    def _read_active(self) -> str:
        path = None if self.folder is None else self.folder / _ACTIVE
        return path.read_text(encoding="utf-8").strip() if path and path.is_file() else SHIPPED

    def _load(self, model_id: str) -> tuple[ModelRecord, KeypointPredictor]:
        if self._shipped is None:
            raise ValueError(self.problem)
        if model_id == SHIPPED:
            return self._shipped_record(self._shipped), self._shipped
        record = self.record(model_id)
        weights = self.weights(model_id)
        if sha256_of(weights) != record.weights_sha256:
            raise ValueError(f"the weights of model {model_id} are not those that were published; activate another")
        return record, self._try(self._shipped, weights)

    def _try(self, shipped: KeypointPredictor, weights: Path) -> KeypointPredictor:
        """A predictor with these weights. Raises ValueError where they do not fit, or the device has no room for them."""
        try:
            return self._load_trained(shipped, weights)
        except RuntimeError as error:
            raise ValueError(f"the weights cannot be loaded: {str(error).partition(chr(10))[0]}") from error

    @staticmethod
    def _shipped_record(predictor: KeypointPredictor) -> ModelRecord:
        return ModelRecord(SHIPPED, predictor.version, predictor.weights_sha256)

    def predictor(self) -> KeypointPredictor:
        """The active model's predictor.

        Raises:
            ValueError: there is none; says what is missing.
        """
        if self._current is None:
            raise ValueError(self.problem)
        return self._current[1]

    @property
    def active(self) -> ModelRecord | None:
        """The record of the active model; None where not even the shipped one can be loaded."""
        return None if self._current is None else self._current[0]

    def weights(self, model_id: str) -> Path:
        """The file of a model's weights.

        Raises:
            UnknownModel: there is no such model, or its weights were not kept.
        """
        if model_id == SHIPPED and self._shipped is not None:
            return self._shipped.weights
        path = self._folder_of(model_id) / _WEIGHTS
        if not path.is_file():
            raise UnknownModel(f"the weights of model {model_id} were not kept")
        return path

    def _folder_of(self, model_id: str) -> Path:
        if self.folder is None or not _ID.fullmatch(model_id):
            raise UnknownModel("there is no such model; GET /tavr/models lists them")
        return self.folder / model_id

    def record(self, model_id: str) -> ModelRecord:
        """The record of a model that was trained here.

        Raises:
            UnknownModel: there is no such model.
            ValueError: its record is damaged.
        """
        path = self._folder_of(model_id) / _RECORD
        try:
            return ModelRecord.from_dict(mapping(read_json(path), model_id))
        except FileNotFoundError as error:
            raise UnknownModel("there is no such model; GET /tavr/models lists them") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"the record of model {model_id} is damaged ({type(error).__name__})") from error

    def history(self) -> list[dict[str, Any]]:
        """All models, the newest first and the shipped one last, each with ``active``."""
        found = []
        for model_id in reversed(self._ids()):
            try:
                found.append(self.record(model_id))
            except ValueError as error:
                logger.warning("%s", error)
        if self._shipped is not None:
            found.append(self._shipped_record(self._shipped))
        active = self.active
        return [r.to_dict() | {"active": active is not None and r.id == active.id} for r in found]

    def _ids(self) -> list[str]:
        names = [p.name for p in self.folder.iterdir()] if self.folder and self.folder.is_dir() else []
        return sorted((n for n in names if _ID.fullmatch(n)), key=lambda n: int(n.partition("-")[0]))

    def trained_on(self, model_id: str) -> set[str]:
        """Patients (their keys) and images that a model, or one of those it descends from, has seen in training."""
        seen: set[str] = set()
        while model_id != SHIPPED:
            record = self.record(model_id)
            seen.update(record.labels.get("training_patients", ()), record.labels.get("training_images", ()))
            model_id = record.parent or SHIPPED
        return seen

    def publish(
        self,
        weights: Path,
        *,
        parent: str,
        labels: Mapping[str, Any],
        scores: Mapping[str, Any],
        author: str | None = None,
        published: bool = True,
        reason: str | None = None,
    ) -> ModelRecord:
        """Put a trained model into the history, and make it the active one if ``published``.

        Args:
            weights: a plain state dict, with ``thresholds.json`` and ``uncertainty.json`` beside it.
            parent, labels, scores, author, published, reason: see :class:`ModelRecord`.

        Raises:
            ValueError: the weights cannot be loaded; nothing was kept.
            OSError: the disk is full; nothing was kept.
        """
        if self.folder is None or self._shipped is None:
            raise ValueError("this server keeps no models: it was started without a folder for labels")
        with self._changing:
            self.folder.mkdir(parents=True, exist_ok=True)
            number = max((int(i.partition("-")[0]) for i in self._ids()), default=0) + 1
            digest = sha256_of(weights)
            record = ModelRecord(
                id=f"{number:04d}-{digest[:12]}",
                version=f"{self._shipped.version}+{number}",
                weights_sha256=digest,
                created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                parent=parent,
                labels=labels,
                scores=scores,
                published=published,
                reason=reason,
                author=author,
            )
            kept = self._keep(self.folder, record, weights)
            try:
                predictor = self._try(self._shipped, kept)
            except BaseException:  # what cannot be loaded has no place in the history
                shutil.rmtree(kept.parent, ignore_errors=True)
                raise
            if published:
                self._make_active(record, predictor)
            else:
                self._forget_other_unpublished(record.id)
        return record

    @staticmethod
    def _keep(folder: Path, record: ModelRecord, weights: Path) -> Path:
        """Copy a model into the history; returns where its weights are."""
        staged = Path(tempfile.mkdtemp(dir=folder, prefix=".new-"))
        try:
            for name in (_WEIGHTS, *_BESIDE):
                if (source := weights.with_name(name) if name != _WEIGHTS else weights).is_file():
                    with source.open("rb") as original, replacing(staged / name) as copy:
                        shutil.copyfileobj(original, copy)
            with replacing(staged / _RECORD) as stream:
                stream.write((json.dumps(record.to_dict(), indent=1, allow_nan=False) + "\n").encode())
            staged.rename(folder / record.id)
            return folder / record.id / _WEIGHTS
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise

    def _forget_other_unpublished(self, kept: str) -> None:
        """Nobody wants these weights; their figures stay."""
        needed = (kept, self._read_active())  # an admin may have activated one all the same
        for model_id in self._ids():
            if model_id not in needed and not self._was_published(model_id):
                (self._folder_of(model_id) / _WEIGHTS).unlink(missing_ok=True)

    def _was_published(self, model_id: str) -> bool:
        try:
            return self.record(model_id).published
        except ValueError:  # damaged: who knows
            return True

    def activate(self, model_id: str, *, anyway: bool = False) -> ModelRecord:
        """Make a model of the history the active one, e.g. to go back. The model that answers now goes on until this one can.

        Args:
            model_id: ``shipped``, or an id of :meth:`history`.
            anyway: also a model that was not published.

        Raises:
            UnknownModel: there is no such model, or its weights were not kept.
            NotPublished: see ``anyway``.
            ValueError: its weights cannot be loaded.
        """
        with self._changing:
            return self._activate(model_id, anyway=anyway)

    def _activate(self, model_id: str, *, anyway: bool = False) -> ModelRecord:
        record, predictor = self._load(model_id)
        if not (record.published or anyway):
            raise NotPublished(f"model {model_id} was not published: {record.reason}; ?anyway=true activates it all the same")
        self._make_active(record, predictor)
        return record

    def _make_active(self, record: ModelRecord, predictor: KeypointPredictor) -> None:
        if self.folder is not None:
            with replacing(self.folder / _ACTIVE) as stream:
                stream.write(f"{record.id}\n".encode())
        self._current, self.problem = (record, predictor), None


def with_weights(shipped: KeypointPredictor, weights: Path) -> KeypointPredictor:
    """A predictor like the shipped one, with other weights and the thresholds beside them."""
    from monai_tavr.predictor import KeypointPredictor

    return KeypointPredictor(
        shipped.bundle.root,
        weights=weights,
        schema=shipped.schema,
        device=shipped.device,
        precision=shipped.precision,
        batch_size=shipped.batch_size,
    )
