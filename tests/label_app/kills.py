"""Kills a process that submits labels, again and again, and counts what is lost, damaged or without a line in the audit log.

    PYTHONPATH=tests/label_app python tests/label_app/kills.py --count 1000

The process is the server's own code from the submit on: checked, signed, written, noted. It says which versions are on disk once
they are, and is killed at a random moment; what a restarted server does at its start is done before the next one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from cine_labels import OTHER, SOP, STACK, label_of, point, write_cines

from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.user import local_user
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.labels.store import LabelStore
from label_app.lib.labels.submissions import Submissions

_LONGEST_SECONDS = 0.06  # of a life; a submit takes a few milliseconds


def door(folder: Path) -> Submissions:
    return Submissions(LabelStore(folder), AuditLog(folder / "audit.jsonl"))


def _submit_for_ever(index: StudyIndex, folder: Path, said: int) -> None:
    submissions, user = door(folder), local_user("ann")
    submissions.recover()
    while True:
        for image in (SOP, OTHER, STACK):
            entry = index.images[image]
            x = round(time.monotonic() % 50, 3)
            text = json.dumps(label_of({0: {"AA1": point(x, 2)}}, number_of_frames=entry.number_of_frames)).encode()
            version = submissions.submit(entry, text, user=user, base=None)
            os.write(said, f"{image} {version.number} {x}\n".encode())


def _one_life(index: StudyIndex, folder: Path, seconds: float) -> list[tuple[str, int, float]]:
    """What the process said before it was killed: (image, version, place of its point)."""
    said, speaks = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(said)
            _submit_for_ever(index, folder, speaks)
        finally:
            os._exit(1)
    os.close(speaks)
    with os.fdopen(said, "rb") as stream:
        first = stream.readline()  # the first submit is over: it lives
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = first + stream.read()
    found = []
    for line in lines.split(b"\n")[:-1]:
        image, number, x = line.split()
        found.append((image.decode(), int(number), float(x)))
    return found


def run(count: int, folder: Path, *, seed: int = 0) -> Counter[str]:
    """Kill so many times, and count. The figures ``lost``, ``damaged``, ``unaudited`` and ``twice`` must be 0."""
    rng = np.random.default_rng(seed)
    index = StudyIndex(write_cines(folder / "studies"))
    index.refresh()
    kept, figures = folder / "kept", Counter(kills=count, lost=0, damaged=0, unaudited=0, twice=0)
    acknowledged = [a for _ in range(count) for a in _one_life(index, kept, float(rng.uniform(0, _LONGEST_SECONDS)))]
    figures["leftovers"] = sum(1 for _ in kept.rglob(".*.part*"))
    submissions = door(kept)
    figures["recovered at the last start"] = submissions.recover()
    figures["recovered"] = sum(line["action"] == "label.recovered" for line in submissions.audit.lines())
    store, lines = submissions.store, Counter((a["image"], a["tag"], a["version"]) for a in submissions.audit.lines())
    for image, number, x in acknowledged:
        version = store.version(image, "final", number)
        kept_there = version is not None and np.float32(x) == store.read(image, version=number).frames[0].xy[0, 0]
        figures["lost"] += not kept_there
    for stored in store.stored():
        figures["damaged"] += store.version(*stored) is None
        figures["unaudited"] += lines[stored] == 0
        figures["twice"] += lines[stored] > 1
    figures["versions"], figures["acknowledged"] = len(store.stored()), len(acknowledged)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(args.count, Path(folder), seed=args.seed)
    print(json.dumps(figures))
    return 1 if any(figures[name] for name in ("lost", "damaged", "unaudited", "twice")) else 0


if __name__ == "__main__":
    sys.exit(main())
