"""``monai-tavr serve``: the viewer and its server, from the MONAI Label app. Needs the extra ``label``."""

from __future__ import annotations

import argparse

from monai_tavr.commands.access_options import add_access_arguments
from monai_tavr.commands.options import add_model_arguments, build_predictor

__all__ = ["add_arguments", "run"]

_EXTRA = ("monailabel", "uvicorn", "fastapi", "starlette", "httpx", "jwt", "label_app")
_EPILOG = """examples:
  monai-tavr serve --studies /path/to/dicom
  monai-tavr serve --studies /path/to/dicom --port 8080
  monai-tavr serve --studies "https://pacs.example/dicom-web?StudyDate=20260101-"    # a DICOMweb archive

An archive's login comes from the environment: MONAI_TAVR_PACS_USER and MONAI_TAVR_PACS_PASSWORD, or
MONAI_TAVR_PACS_CREDENTIALS, a file of two lines.

Open the printed address in a browser, choose a study and the mode "TAVR keypoints", press Predict.
Only this machine can connect unless --host says otherwise; that takes a login and encryption (docs/administrators.md).
Files in the folder are read, never changed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("--studies", required=True, metavar="FOLDER|URL", help="folder of DICOM files, or DICOMweb address")
    parser.add_argument("--labels", metavar="FOLDER", help="folder for labels, models, audit log (default: STUDIES-labels)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    add_model_arguments(parser)
    add_access_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    try:
        from label_app.lib.auth.options import build_access
        from label_app.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _EXTRA:
            raise ValueError(f"{error.name} is not installed; the viewer needs: pip install 'monai-tavr[label]'") from error
        raise
    serve(
        studies=args.studies,
        labels=args.labels,
        access=build_access(args),
        port=args.port,
        ssl_keyfile=args.tls_key,
        ssl_certfile=args.tls_cert,
        load_predictor=lambda: build_predictor(args),
    )
    return 0
