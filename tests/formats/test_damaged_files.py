"""Damaged files of every format: a ValueError that names the file, or a valid label; never anything else, and soon.

Seeded; ``--mutants 10000`` makes it as long as you like. SLEAP's HDF5 is mutated in a process of its own, for its library is C.
"""

from __future__ import annotations

import base64
import io
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from formats_example import cine, file_of, label, outside
from PIL import Image

from monai_tavr.cine import CineInfo
from monai_tavr.formats import FORMATS, Format, LossWarning, sleap, sleap_load
from monai_tavr.formats.supervisely_mask import read_supervisely_mask
from monai_tavr.label import CineLabel

SECONDS, MEGABYTES = 10.0, 1024


@dataclass(frozen=True)
class Found:
    """One mutant that was not answered as it should."""

    seed: int
    words: str


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    """Bits turned, pieces cut out, doubled or put elsewhere, the end missing."""
    data = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 8])):
        at = draw.randrange(len(data) or 1)
        length = draw.randrange(1, 64)
        match draw.randrange(5):
            case 0 if data:
                data[at] ^= 1 << draw.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at : at + length] = draw.randbytes(length)
            case _:
                data = data[:at] if draw.random() < 0.3 else data
    return bytes(data)


def mutated(file: Path, content: bytes, seed: int) -> bytes:
    """The mutant of a file."""
    if file.suffix != ".json":
        return mutated_bytes(content, random.Random(seed))
    from json_mutations import mutant  # it imports MONAI, which the process for SLEAP does not need

    return mutant(content, seed)


def attack(
    path: Path, files: list[Path], read: Callable[[], Any], *, mutants: int, seed: int = 0, named: bool = True
) -> list[Found]:
    """Read ``mutants`` damaged copies; each time one of the ``files`` below ``path`` is another."""
    kept = {file: file.read_bytes() for file in files}
    found = []
    accepted = 0
    for number in range(seed, seed + mutants):
        file = random.Random(number).choice(files)
        file.write_bytes(mutated(file, kept[file], number))
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
            accepted += 1
        except ValueError as error:
            if named and str(path) not in str(error):
                found.append(Found(number, f"unnamed: {error!r:.200}"))
        except BaseException as error:
            found.append(Found(number, f"{error!r:.200} {traceback.format_exc()[-400:]}"))
        if time.perf_counter() - started > SECONDS:
            found.append(Found(number, "took too long"))
        file.write_bytes(kept[file])
    if not mutants / 100 < accepted < mutants * 0.99:
        found.append(Found(seed, f"{accepted} of {mutants} were read, so the test says nothing"))
    return found


def prepared(folder: Path) -> None:
    """BAMNet's prepared folders, which nothing here writes."""
    for split in ("train", "val"):
        for below in ("images", "points"):
            (folder / split / below).mkdir(parents=True)
        Image.new("L", (40, 30)).save(folder / split / "images" / "001_3.png")
        points = {"AA1": {"x": 5.5, "y": 6.5, "visible": 1}, "AA2": {"x": 0, "y": 0, "visible": 0}}
        content = {"image_size": {"width": 40, "height": 30}, "points": points}
        (folder / split / "points" / "001_3.json").write_text(json.dumps(content))


def example(form: Format, folder: Path) -> tuple[Path, list[Path], dict[str, Any]]:
    """(what to read, the files to damage, options of the reader)."""
    info: CineInfo = cine(folder / "image")
    given: CineLabel = label(info.image_info)
    given = replace(given, frames=given.frames[:2])
    path = file_of(form, folder)
    if form.writer is None:
        prepared(path)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LossWarning)
            form.write(path, [given], image=info)
    options = outside(form, folder, info, [given])
    if "others_absent" in form.options:
        options["others_absent"] = True
    return path, sorted(p for p in path.rglob("*.json")) if path.is_dir() else [path], options


@pytest.mark.parametrize("form", [f for f in FORMATS.values() if f.reader], ids=lambda f: f.name)
def test_a_damaged_file_is_refused_or_read(form: Format, tmp_path: Path, mutants: int) -> None:
    path, files, options = example(form, tmp_path)
    if form.name == "sleap":  # a crash of the HDF5 library must be seen, not suffered; a fork for each, so there are fewer
        mutants = max(1, mutants // 3)
        done = subprocess.run(
            [sys.executable, __file__, str(tmp_path / "apart"), str(mutants)],
            capture_output=True,
            text=True,
            timeout=60 + mutants,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr[-2000:]
        return
    assert attack(path, files, lambda: form.read(path, **options), mutants=mutants) == []


def test_a_damaged_mask_is_refused_or_read(tmp_path: Path, mutants: int) -> None:
    packed = io.BytesIO()
    Image.new("1", (5, 4), 1).save(packed, format="PNG")
    data = base64.b64encode(zlib.compress(packed.getvalue())).decode()
    entry = {"classTitle": "Aorta", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [3, 2]}}
    content = {"size": {"width": 40, "height": 30}, "objects": [entry]}
    file = tmp_path / "a.png.json"
    file.write_text(json.dumps(content))
    mask = read_supervisely_mask(file)
    assert mask is not None
    assert mask.sum() == 20
    assert attack(file, [file], lambda: read_supervisely_mask(file), mutants=mutants) == []


def apart(path: Path, *, seconds: float = 2.0) -> dict[str, Any]:
    """As the reader loads a SLEAP file in a process of its own, but forked: starting Python for each mutant takes a second."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with os.fdopen(write, "w") as stream:
            try:
                json.dump(sleap_load.load(path), stream)
            except Exception as error:
                stream.write(f"failed {error!r}")
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        ready, _, _ = select.select([stream], [], [], seconds)
        text = stream.read() if ready else ""
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not text or text.startswith("failed"):
        raise ValueError(f"{path}: {text or 'the library crashed or hung'}")
    return json.loads(text)


def main(folder: Path, mutants: int) -> None:
    """The mutants of SLEAP, whose files a library in C reads, with a limit on memory."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * MEGABYTES << 20, 4 * MEGABYTES << 20))
    form = FORMATS["sleap"]
    path, files, options = example(form, folder)
    sleap._load = apart  # type: ignore[assignment]
    print(attack(path, files, lambda: form.read(path, **options), mutants=mutants))


def test_a_file_that_never_ends_loading_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _, _ = example(FORMATS["sleap"], tmp_path)
    assert FORMATS["sleap"].read(path)
    monkeypatch.setattr(sleap, "_SECONDS", 0.01)
    with pytest.raises(ValueError, match=r"label\.slp: no readable SLEAP file: not loaded within 0\.01 s"):
        FORMATS["sleap"].read(path)


def test_without_sleap_io_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _, _ = example(FORMATS["sleap"], tmp_path)
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'monai-tavr\[sleap\]'"):
        FORMATS["sleap"].read(path)
    with pytest.raises(ValueError, match=r"pip install 'monai-tavr\[sleap\]'"):
        FORMATS["sleap"].write(
            path, [replace(label(cine(tmp_path).image_info), revision=None, edits={}, spread={}, typical={}, pictures={})]
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
