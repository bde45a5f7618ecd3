"""``monai-tavr serve``: the viewer and its server, from the MONAI Label app. Needs the extra ``label``."""

from __future__ import annotations

import argparse

from monai_tavr.commands.options import add_model_arguments, build_predictor

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  monai-tavr serve --studies /path/to/dicom
  monai-tavr serve --studies /path/to/dicom --port 8080

Open the printed address in a browser, choose a study and the mode "TAVR keypoints", press Predict.
Only this machine can connect unless --host says otherwise. Files in the folder are read, never changed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("--studies", required=True, metavar="FOLDER", help="folder of DICOM files")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    try:
        from label_app.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("monailabel", "uvicorn", "fastapi", "starlette", "label_app"):
            raise ValueError(f"{error.name} is not installed; the viewer needs: pip install 'monai-tavr[label]'") from error
        raise
    serve(studies=args.studies, host=args.host, port=args.port, load_predictor=lambda: build_predictor(args))
    return 0
