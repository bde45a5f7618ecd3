"""Entry of the MONAI Label app: ``monai-tavr serve``, or ``python -m label_app.server start_server --studies FOLDER``.

MONAI Label's own command cannot be used: its server does not import beside pydicom 3, and an app cannot add the guard it needs.
This module serves MONAI Label's application behind :class:`label_app.lib.guard.Guard`, with the viewer and a DICOMweb service
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
from typing import TYPE_CHECKING, NoReturn

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from label_app.lib.backend import APP_DIR, Backend
from label_app.lib.datastores.study_index import StudyIndex
from label_app.lib.dicomweb.routes import dicomweb_router
from label_app.lib.guard import Guard, is_loopback
from label_app.lib.routes import app_router, viewer_router

if TYPE_CHECKING:
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["create_app", "main", "serve"]

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 3  # for running requests when the server is stopped


def create_app(
    studies: str | Path, *, host: str = "127.0.0.1", load_predictor: Callable[[], KeypointPredictor] | None = None
) -> ASGIApp:
    """The whole application behind its guard; MONAI Label begins to load at once.

    Args:
        studies: folder of DICOM files.
        host: the address it will be served on.
        load_predictor: makes the predictor; None for the bundle's own.

    Raises:
        ValueError: ``studies`` is not a folder, or MONAI Label is not installed.
    """
    index = StudyIndex(studies)
    backend = Backend(index, load_predictor)
    app = FastAPI(title="TAVR keypoints", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(dicomweb_router(index), prefix="/dicomweb")
    app.include_router(app_router(index, backend))
    app.include_router(viewer_router(_bundled_ohif()))
    app.mount("/", backend)
    backend.start()
    return Guard(app, host=host)


def _bundled_ohif() -> Path:
    package = importlib.util.find_spec("monailabel")
    if package is None or package.origin is None:
        raise ValueError("MONAI Label is not installed: pip install 'monai-tavr[label]'")
    return Path(package.origin).parent / "endpoints" / "static" / "ohif"


class _Server(uvicorn.Server):
    """Says where the viewer is once it can be opened."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            scheme = "https" if self.config.is_ssl else "http"
            port = self.servers[0].sockets[0].getsockname()[1] if self.servers else self.config.port
            host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            print(f"Viewer: {scheme}://{host}:{port}/ohif/", flush=True)
            print("Press Ctrl-C to stop. The model loads in the background.", flush=True)


def serve(
    *,
    studies: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    load_predictor: Callable[[], KeypointPredictor] | None = None,
    ssl_keyfile: str | None = None,
    ssl_certfile: str | None = None,
    log_level: str = "warning",
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        ValueError: the studies folder or the address cannot be used; says why.
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if str(studies).startswith(("http://", "https://")):
        raise ValueError(f"{studies}: a DICOMweb archive cannot be served yet; --studies names a folder of DICOM files")
    warnings.filterwarnings("ignore", module=r"pydicom\.")  # they quote what a damaged header holds, patients' names too
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    _check_port_is_free(host, port)
    if not is_loopback(host):
        logger.warning("other machines can reach %s, and nobody is asked who they are: use it on a closed network only", host)
    application = create_app(studies, host=host, load_predictor=load_predictor)
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
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
        _Server(config).run()
    except KeyboardInterrupt:
        logger.info("stopped")


def _stop(signum: int, frame: object) -> NoReturn:
    """uvicorn raises the signal again when it has finished; that is an orderly end."""
    raise SystemExit(0)


def _check_port_is_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ValueError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m label_app.server", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start_server", help="serve a folder of DICOM studies; options as in `monailabel start_server`")
    start.add_argument("-a", "--app", type=Path, default=APP_DIR, help="this app's folder (default)")
    start.add_argument("-s", "--studies", required=True, help="folder of DICOM files; it is never written to")
    start.add_argument("-i", "--host", default="127.0.0.1")
    start.add_argument("-p", "--port", type=int, default=8000)
    start.add_argument("-v", "--verbose", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    start.add_argument("--ssl_keyfile")
    start.add_argument("--ssl_certfile")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        if args.app.resolve() != APP_DIR:
            raise ValueError(f"this module serves its own app, {APP_DIR}; got --app {args.app}")
        serve(
            studies=args.studies,
            host=args.host,
            port=args.port,
            ssl_keyfile=args.ssl_keyfile,
            ssl_certfile=args.ssl_certfile,
            log_level=args.verbose,
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
