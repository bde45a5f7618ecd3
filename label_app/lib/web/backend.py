"""MONAI Label's server, loaded in the background.

Importing MONAI Label and torch takes many seconds; the viewer and the images need neither. So the server answers at once, and
only requests for MONAI Label wait until it is there.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from pydicom.uid import SegmentationStorage
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from label_app.lib.auth.user import current_user
from label_app.lib.images.pacs_error import PacsError
from label_app.lib.images.patients import PatientKeys
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.labels.agreement import Agreement
from label_app.lib.labels.submissions import Submissions

if TYPE_CHECKING:
    from label_app.lib.app import TAVRApp
    from monai_tavr.label import CineLabel
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["APP_DIR", "Backend", "explain_pacs_error"]

logger = logging.getLogger(__name__)

_FAILED = "the server failed at this request; its log says more"

APP_DIR = Path(__file__).resolve().parents[2]


class Backend:
    """ASGI application that stands for MONAI Label's until that is loaded, and then passes requests on to it.

    Args:
        index: the studies folder.
        submissions: the door of the label store.
        load_predictor: makes the predictor; None for the bundle's own.
        teacher_below: labelled frames below which the unlabelled cines join a training.

    Attributes:
        patients: names of patients; the same for all who ask.
        agreement: of model and labels.
    """

    def __init__(
        self,
        index: StudyIndex,
        submissions: Submissions,
        load_predictor: Callable[[], KeypointPredictor] | None = None,
        *,
        teacher_below: int = 0,
    ) -> None:
        self.patients, self.agreement = PatientKeys(submissions.store.root), Agreement(submissions.store)
        self._conf: dict[str, Any] = {
            "index": index,
            "labels": submissions.store,
            "patients": self.patients,
            "agreement": self.agreement,
            "audit": submissions.audit,
            "submissions": submissions,
            "load_predictor": load_predictor,
            "teacher_below": teacher_below,
        }
        self._loaded: Future[tuple[ASGIApp, TAVRApp]] = Future()

    def start(self) -> None:
        """Begin loading. The thread is a daemon, so that Ctrl-C need not wait for it."""
        threading.Thread(target=self._load, name="monailabel-import", daemon=True).start()

    def _load(self) -> None:
        try:
            self._loaded.set_result(_monai_label(self._conf))
        except BaseException as error:  # reported to every request that waits
            logger.exception("MONAI Label could not be loaded: %s", error)
            self._loaded.set_exception(error)

    @property
    def state(self) -> str:
        """``loading``, ``ready`` or ``failed``."""
        if not self._loaded.done():
            return "loading"
        return "failed" if self._loaded.exception() else "ready"

    def app(self) -> TAVRApp:
        """The app; waits until it is loaded."""
        return self._loaded.result()[1]

    def loaded(self) -> TAVRApp:
        """The same for handlers of requests.

        Raises:
            HTTPException: MONAI Label could not be loaded: 503.
        """
        try:
            return self.app()
        except Exception as error:
            raise HTTPException(503, "MONAI Label could not be loaded; the server's log says why") from error

    def predict(self, image_id: str, frames: list[int]) -> tuple[CineLabel, str | None]:
        """The active model's label of these frames, and the SHA-256 of its weights. Waits until the app is loaded."""
        app = self.app()
        active = app.models.active
        return app.predict(image_id, frames=frames), None if active is None else active.weights_sha256

    def answer(self, call: Callable[[TAVRApp], Any]) -> Response:
        """What the app says, as JSON; its refusals with their status and words. Waits until the app is loaded."""
        try:
            app = self.app()
        except Exception:
            return _not_loaded()
        from monailabel.interfaces.exception import MONAILabelException

        try:
            content = call(app)
            return content if isinstance(content, Response) else JSONResponse(content)
        except MONAILabelException as error:
            return _explained(error)
        except PacsError as error:
            return JSONResponse({"detail": str(error)}, status_code=error.status)
        except Exception:
            logger.exception("a request failed")
            return JSONResponse({"detail": _FAILED}, status_code=500)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            application, _ = await asyncio.wrap_future(self._loaded)
        except Exception:
            await _not_loaded()(scope, receive, send)
            return
        await application(scope, receive, send)


def _monai_label(conf: dict[str, Any]) -> tuple[ASGIApp, TAVRApp]:
    """MONAI Label's FastAPI application with this app in it."""
    _provide_what_pydicom_seg_imports()
    logging.getLogger("monailabel").setLevel(logging.WARNING)  # below that it writes requests and paths to the log
    from monailabel.config import settings

    settings.MONAI_LABEL_APP_DIR = str(APP_DIR)
    settings.MONAI_LABEL_STUDIES = str(conf["index"].root)
    settings.MONAI_LABEL_APP_CONF = conf
    settings.MONAI_LABEL_DATASTORE_FILE_EXT = ["*.dcm"]
    settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD = False
    settings.MONAI_LABEL_AUTO_UPDATE_SCORING = False
    settings.MONAI_LABEL_SESSIONS = False  # a session is an uploaded image
    settings.MONAI_LABEL_TRACKING_ENABLED = False

    from fastapi.middleware.cors import CORSMiddleware
    from monailabel.app import app
    from monailabel.endpoints.user.auth import User, get_current_user
    from monailabel.interfaces.exception import MONAILabelException
    from monailabel.interfaces.utils.app import app_instance

    # it answers every origin, with credentials; no other page has any business here
    app.user_middleware = [m for m in app.user_middleware if m.cls is not CORSMiddleware]

    def stock_user(request: Request) -> User:
        user = current_user(request)
        return User(username=user.name, name=user.name, roles=sorted(user.roles))

    app.dependency_overrides[get_current_user] = stock_user  # its own check of tokens fails beside PyJWT 2; the guard has done it
    app.add_exception_handler(MONAILabelException, _explain)
    app.add_exception_handler(PacsError, explain_pacs_error)
    instance = app_instance()
    instance.server_mode(True)
    instance.on_init_complete()
    return app, instance


def _provide_what_pydicom_seg_imports() -> None:
    """`pydicom_seg`, which MONAI Label imports, takes one name from a private module that pydicom 3 no longer has."""
    name = "pydicom._storage_sopclass_uids"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        module = ModuleType(name)
        module.SegmentationStorage = SegmentationStorage  # type: ignore[attr-defined]
        sys.modules[name] = module


def _not_loaded() -> JSONResponse:
    return JSONResponse({"detail": "MONAI Label could not be loaded; the server's log says why"}, status_code=503)


async def _explain(request: Request, error: Exception) -> JSONResponse:
    return _explained(error)


def _explained(error: Exception) -> JSONResponse:
    """MONAI Label raises these for bad input and answers them with 500; the fault is the client's and has words."""
    from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelError

    words, kind = str(getattr(error, "msg", error)), getattr(error, "error", None)
    if isinstance(error, ImageNotFoundException | LabelNotFoundException):
        return JSONResponse({"detail": words}, status_code=404)
    if kind in (MONAILabelError.INVALID_INPUT, MONAILabelError.APP_ERROR):
        return JSONResponse({"detail": words}, status_code=400)
    if kind == MONAILabelError.APP_INIT_ERROR:
        return JSONResponse({"detail": words}, status_code=409)
    return JSONResponse({"detail": _FAILED}, status_code=500)


async def explain_pacs_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that needed the archive."""
    return JSONResponse({"detail": str(error)}, status_code=getattr(error, "status", 502))
