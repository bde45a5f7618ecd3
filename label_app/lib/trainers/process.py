"""The process of a training, seen from the server: started as a group of its own, and ended with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

__all__ = ["GRACE_SECONDS", "close_streams", "end_group", "start_worker"]

GRACE_SECONDS = 5  # between asking the process to end and ending it
_WORKER = (sys.executable, "-m", "label_app.lib.trainers.worker")


def start_worker(run: Path) -> subprocess.Popen[str]:
    """Start the training of a run; what it reports comes on its standard output.

    Raises:
        OSError: the process cannot be started.
    """
    return subprocess.Popen(
        [*_WORKER, str(run)],
        stdin=subprocess.PIPE,  # held open as long as this server lives
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the run's own log says it all
        text=True,
        start_new_session=True,
    )


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process and those it started. What it writes is complete or absent, so it need not be asked twice."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def close_streams(process: subprocess.Popen[str]) -> None:
    """Nothing more comes or goes."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
