"""Routes of the app beside MONAI Label's own: inference, what the viewer must know, and the viewer's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Form, HTTPException, Request, UploadFile
from fastapi.responses import Response

from label_app.lib.auth.user import current_user
from label_app.lib.infers.infer_request import parse_params
from label_app.lib.web.backend import Backend
from label_app.lib.web.multipart import multipart_answer
from monai_tavr.active_learning.strategies import STRATEGIES
from monai_tavr.formats.label_json import label_to_dict
from monai_tavr.keypoints import KeypointSchema

if TYPE_CHECKING:
    from label_app.lib.app import TAVRApp

__all__ = ["app_router"]

_UNCERTAIN_BELOW = 0.75


def app_router(backend: Backend, schema: KeypointSchema) -> APIRouter:
    """Inference and the viewer's questions; the schema is that of the labels."""
    router = APIRouter()

    @router.post("/infer/{model}")
    def infer(
        model: str,
        image: str = "",
        output: str = "all",
        session_id: str = "",
        params: str = Form("{}"),
        file: UploadFile | None = None,
        label: UploadFile | None = None,
    ) -> Response:
        """Predict on a registered image. MONAI Label's own handler would hold up every other request meanwhile.

        ``output=json`` gives the label JSON; ``all``, which MONAI Label's clients mean, markups for 3D Slicer beside it.
        """
        if file is not None or label is not None or session_id:
            raise HTTPException(400, "uploads are not offered: name a registered image, ?image=ID")
        if output not in ("json", "all"):
            raise HTTPException(400, f"this model answers with JSON: output must be 'json' or 'all', got {output[:40]!r}")
        try:
            request = parse_params(params)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        if output == "json":
            return backend.answer(lambda app: label_to_dict(app.predict(image, model=model, **request)))

        def with_markups(app: TAVRApp) -> Response:
            label = app.predict(image, model=model, **request)  # says what is wrong, before anything else is asked for
            return multipart_answer(label, app.datastore().entry(image).paths[0])

        return backend.answer(with_markups)

    @router.get("/tavr/status")
    def status(request: Request) -> dict[str, Any]:
        """Who asks; whether predictions can be had, and by which model; the schema says what is drawn."""
        state, user = backend.state, current_user(request)
        who = {"user": {"name": user.name, "roles": sorted(user.roles)}, "auth": request.state.auth}
        who["strategies"] = list(STRATEGIES)
        # points can be placed by hand before the model is there
        model = backend.app().model() if state == "ready" else {"schema": schema.to_dict()}
        return {"state": state, "uncertain_below": _UNCERTAIN_BELOW, **who, **model}

    return router
