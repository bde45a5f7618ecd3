"""Entry of the MONAI Label app: ``monai-tavr serve``, or ``python -m label_app.server start_server --studies FOLDER``.

MONAI Label's own command cannot be used: its server does not import beside pydicom 3, and an app cannot add the guard it needs.
This module serves MONAI Label's application behind :class:`label_app.lib.web.guard.Guard`, with the viewer and a DICOMweb service
over the studies folder beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from label_app.arguments import TEACHER_BELOW, add_server_arguments
from label_app.lib.auth.access import Access
from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.authenticator import Authenticator
from label_app.lib.auth.options import build_access
from label_app.lib.dicomweb.routes import dicomweb_router
from label_app.lib.images.pacs_error import PacsError
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.labels.agreement import PredictionKeeper
from label_app.lib.labels.store import LabelStore
from label_app.lib.labels.submissions import Submissions
from label_app.lib.web.backend import APP_DIR, Backend, explain_pacs_error
from label_app.lib.web.batch import batch_router
from label_app.lib.web.discreet_log import DiscreetFormatter
from label_app.lib.web.guard import Guard
from label_app.lib.web.images import image_router
from label_app.lib.web.labels import label_router
from label_app.lib.web.login import login_router
from label_app.lib.web.models import model_router
from label_app.lib.web.next_frame import next_router
from label_app.lib.web.pacs import default_folder, is_pacs_url, open_pacs, pacs_dicomweb
from label_app.lib.web.predict import app_router
from label_app.lib.web.scores import score_router
from label_app.lib.web.tracking import track_router
from label_app.lib.web.viewer import viewer_router
from monai_tavr.bundle import Bundle
from monai_tavr.files import remove_leftovers
from monai_tavr.keypoints import TAVR11, KeypointSchema

if TYPE_CHECKING:
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["create_app", "labels_folder", "main", "serve", "server_options"]

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 3  # for running requests when the server is stopped


def create_app(
    studies: str | Path,
    *,
    labels: str | Path | None = None,
    access: Access | None = None,
    load_predictor: Callable[[], KeypointPredictor] | None = None,
    schema: KeypointSchema | None = None,
    teacher_below: int = TEACHER_BELOW,
) -> ASGIApp:
    """The whole application behind its guard; MONAI Label begins to load at once.

    Args:
        studies: folder of DICOM files, or the address of a DICOMweb archive (see :mod:`label_app.lib.web.pacs`).
        labels: folder of what is made of them: labels, models, cache, audit log; None = see :func:`labels_folder`.
        access: who may connect; None = this machine only.
        load_predictor: makes the predictor; None for the bundle's own.
        schema: of the labels, and of the model; None for the bundle's.
        teacher_below: labelled frames below which the unlabelled cines join a training.

    Raises:
        ValueError: ``studies`` is not a folder, ``labels`` lies in it, or MONAI Label is not installed.
    """
    folder = labels_folder(studies, labels)
    pacs = open_pacs(str(studies), folder) if is_pacs_url(studies) else None
    index = pacs or StudyIndex(studies)
    store = LabelStore(folder, schema=schema or _schema_of_bundle())
    audit = AuditLog(store.root / "audit.jsonl")
    submissions = Submissions(store, audit)
    remove_leftovers(store.root)
    submissions.recover()
    backend = Backend(index, submissions, load_predictor, teacher_below=teacher_below)
    app = FastAPI(title="TAVR keypoints", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(PacsError, explain_pacs_error)
    app.include_router(pacs_dicomweb(pacs, submissions) if pacs else dicomweb_router(index), prefix="/dicomweb")
    app.include_router(app_router(backend, store.schema))
    app.include_router(image_router(index, store, backend.patients))
    app.include_router(label_router(index, submissions, backend))
    app.include_router(score_router(backend.agreement))
    submissions.subscribe(PredictionKeeper(store, backend.predict))
    app.include_router(model_router(backend))
    app.include_router(batch_router(backend))
    app.include_router(next_router(backend))
    app.include_router(track_router(index, backend))
    app.include_router(viewer_router(_bundled_ohif()))
    authenticator = Authenticator(access or Access(), audit)
    app.include_router(login_router(authenticator))
    app.mount("/", backend)
    backend.start()
    return Guard(app, authenticator=authenticator)


def _schema_of_bundle() -> KeypointSchema:
    try:
        return Bundle.find().schema()
    except FileNotFoundError:  # points can be placed by hand without a model
        return TAVR11


def labels_folder(studies: str | Path, labels: str | Path | None) -> Path:
    """The folder of labels: as asked for, or ``<studies>-labels`` beside the studies folder, which is never written to.

    For an archive it is ``~/.local/share/monai-tavr/<host>``.

    Raises:
        ValueError: it lies in the studies folder.
    """
    if is_pacs_url(studies):
        return Path(labels).resolve() if labels is not None else default_folder(str(studies))
    root = Path(studies).resolve()
    folder = Path(labels).resolve() if labels is not None else root.with_name(f"{root.name}-labels")
    if folder.is_relative_to(root):
        raise ValueError(f"{folder} lies in the studies folder, which is never written to; choose another with --labels")
    return folder


def _bundled_ohif() -> Path:
    package = importlib.util.find_spec("monailabel")
    if package is None or package.origin is None:
        raise ValueError("MONAI Label is not installed: pip install 'monai-tavr[label]'")
    return Path(package.origin).parent / "endpoints" / "static" / "ohif"


class _Server(uvicorn.Server):
    """Says where the viewer is once it can be opened.

    Args:
        config: of uvicorn.
        public_url: where browsers find it, if not at the address it binds to.
    """

    def __init__(self, config: uvicorn.Config, public_url: str | None) -> None:
        super().__init__(config)
        self._public_url = public_url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            scheme = "https" if self.config.is_ssl else "http"
            port = self.servers[0].sockets[0].getsockname()[1] if self.servers else self.config.port
            host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            print(f"Viewer: {(self._public_url or f'{scheme}://{host}:{port}').rstrip('/')}/ohif/", flush=True)
            print("Press Ctrl-C to stop. The model loads in the background.", flush=True)


def serve(
    *,
    studies: str | Path,
    labels: str | Path | None = None,
    access: Access | None = None,
    port: int = 8000,
    load_predictor: Callable[[], KeypointPredictor] | None = None,
    schema: KeypointSchema | None = None,
    teacher_below: int = TEACHER_BELOW,
    ssl_keyfile: str | None = None,
    ssl_certfile: str | None = None,
    log_level: str = "warning",
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        ValueError: the studies folder or the address cannot be used; says why.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(DiscreetFormatter())
    logging.basicConfig(level=log_level.upper(), handlers=[handler])
    warnings.filterwarnings("ignore", module=r"pydicom\.")  # they quote what a damaged header holds, patients' names too
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it writes the addresses that it asks
    access = access or Access()
    _check_port_is_free(access.host, port)
    if not (access.local or access.encrypted):
        logger.warning("images and logins cross the network unencrypted: anyone on it can read them")
    application = create_app(
        studies, labels=labels, access=access, load_predictor=load_predictor, schema=schema, teacher_below=teacher_below
    )
    config = uvicorn.Config(
        application,
        host=access.host,
        port=port,
        proxy_headers=access.public_url is not None,  # of a proxy on this machine; else anybody could claim an address
        log_config=None,
        access_log=False,  # addresses carry patients' names when somebody searches
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_keyfile=ssl_keyfile,
        ssl_certfile=ssl_certfile,
    )
    signal.signal(signal.SIGTERM, _stop)
    try:
        _Server(config, access.public_url).run()
    except KeyboardInterrupt:
        logger.info("stopped")


def _stop(signum: int, frame: object) -> NoReturn:
    """uvicorn raises the signal again when it has finished; that is an orderly end."""
    raise SystemExit(0)


def _check_port_is_free(host: str, port: int) -> None:
    if not 0 <= port <= 65535:
        raise ValueError(f"--port must be a number up to 65535, got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ValueError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from error


def server_options(args: argparse.Namespace) -> dict[str, Any]:
    """What the options of :mod:`label_app.arguments` ask for.

    Raises:
        ValueError: they do not fit together, or a file cannot be used; says what to do.
    """
    return {
        "studies": args.studies,
        "labels": args.labels,
        "access": build_access(args),
        "port": args.port,
        "teacher_below": args.teacher_below,
        "ssl_keyfile": args.tls_key,
        "ssl_certfile": args.tls_cert,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m label_app.server", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start_server", help="serve a folder of DICOM studies; options as in `monailabel start_server`")
    start.add_argument("-a", "--app", type=Path, default=APP_DIR, help="this app's folder (default)")
    add_server_arguments(start)
    start.add_argument("-v", "--verbose", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        if args.app.resolve() != APP_DIR:
            raise ValueError(f"this module serves its own app, {APP_DIR}; got --app {args.app}")
        serve(**server_options(args), log_level=args.verbose)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
