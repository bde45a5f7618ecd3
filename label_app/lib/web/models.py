"""Routes of the models and their training: MONAI Label's ``/train/``, the history, and going back in it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Request

from label_app.lib.auth.user import require
from label_app.lib.models.record import TASK
from label_app.lib.models.registry import NotPublished, UnknownModel
from label_app.lib.trainers.train_request import TrainRequest
from label_app.lib.trainers.training import TrainingRunning
from label_app.lib.web.backend import Backend

__all__ = ["model_router"]


def model_router(backend: Backend) -> APIRouter:
    """Training by MONAI Label's own addresses and shapes, and the history of models."""
    router = APIRouter()

    @router.get("/train/")
    def train_status(all: bool = False, check_if_running: bool = False) -> Any:
        """The last training; with ``check_if_running`` 404 unless one is under way, as MONAI Label has it.

        With ``all`` it is a list, empty before the first.
        """
        training = backend.loaded().training
        state = training.status()
        if state is None and all and not check_if_running:
            return []
        if state is None:
            raise HTTPException(404, "nothing was trained yet")
        if check_if_running and not training.running:
            raise HTTPException(404, "no training is under way")
        return [state] if all else state

    @router.post("/train/")
    def train_all(request: Request, params: Annotated[Any, Body()] = None) -> dict[str, Any]:
        """MONAI Label's "all models": parameters lie under the model's name, and so does the answer."""
        own = params.get(TASK) if isinstance(params, dict) else params
        return {TASK: {"result": start(request, own), "detail": None}}

    @router.post("/train/{model}")
    def train(model: str, request: Request, params: Annotated[Any, Body()] = None) -> dict[str, Any]:
        if model != TASK:
            raise HTTPException(400, f"no such model; the one to train is {TASK!r}")
        return start(request, params)

    def start(request: Request, params: Any) -> dict[str, Any]:
        user = require(request, "reviewer")
        try:
            return backend.loaded().training.start(TrainRequest.parse(params), user)
        except TrainingRunning as error:
            raise HTTPException(429, str(error)) from error  # the status that MONAI Label gives
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        except OSError as error:
            raise HTTPException(507, f"the labels folder cannot be written: {error.strerror}") from error

    @router.delete("/train/")
    def train_stop(request: Request) -> dict[str, Any] | None:
        """The training that was stopped; null where there was none, as MONAI Label has it."""
        return backend.loaded().training.stop(require(request, "reviewer"))

    @router.get("/tavr/models")
    def models() -> list[dict[str, Any]]:
        """The history, the newest first."""
        return backend.loaded().models.history()

    @router.post("/tavr/models/{model_id}/activate")
    def activate(model_id: str, request: Request, anyway: bool = False) -> dict[str, Any]:
        """Make a model of the history the active one."""
        user, app = require(request, "admin"), backend.loaded()
        try:
            record = app.models.activate(model_id, anyway=anyway)
        except UnknownModel as error:
            raise HTTPException(404, str(error)) from error
        except NotPublished as error:
            raise HTTPException(409, str(error)) from error
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        except OSError as error:
            raise HTTPException(507, f"the labels folder cannot be written: {error.strerror}") from error
        app.audit.note(user, "model.activate", model=record.id)
        return record.to_dict() | {"active": True}

    return router
