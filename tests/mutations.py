"""Damages X-ray files in every way that comes to mind, reads them in a process with limits, and counts what must never happen.

    PYTHONPATH=. python tests/mutations.py --count 10000

A mutant is known by its seed, so that what was found once is found again: ``--first SEED --count 1``. The reader refuses it by a
`CineError`, or gives the frames of the original, or those of another sound file. Faults are crashes of the process, hangs of 20
seconds, memory of 1 GB, other exceptions, and wrong pictures: frames that differ although the damage lies in what the format lets
one check (counts, lengths, offsets, sizes, precision, a missing end).
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import resource
import struct
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image
from xa_files import asymmetric_frames

from monai_tavr.dicom import CineError, open_cine
from monai_tavr.dicom.writer import SYNTAXES, XAHeader, write_xa

FRAMES, ROWS, COLUMNS = 3, 40, 56
HANG_SECONDS, MOST_MEMORY = 20, 1 << 30
FAULTS = ("crash", "hang", "memory", "foreign", "wrong")
_PIXEL_TAG, _PIXEL_TAG_BIG = b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"
_ITEM = b"\xfe\xff\x00\xe0"
_EXTREME = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_COUNTS = ("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "SamplesPerPixel")
_TAGS = {
    "NumberOfFrames": (0x0028, 0x0008),
    "Rows": (0x0028, 0x0010),
    "Columns": (0x0028, 0x0011),
    "BitsAllocated": (0x0028, 0x0100),
    "SamplesPerPixel": (0x0028, 0x0002),
}


@dataclass(frozen=True)
class Original:
    """A sound file, and what reading it gives."""

    name: str
    suffix: str
    content: bytes
    frames: np.ndarray

    @property
    def pixels(self) -> int:
        """Offset of the pixel data element; that of a picture or a NIfTI array is near."""
        big = self.content.rfind(_PIXEL_TAG_BIG) if self.name.startswith("explicit-be") else -1
        return max(big, self.content.find(_PIXEL_TAG), 60)


@lru_cache(maxsize=1)
def originals() -> tuple[Original, ...]:
    """Cines of three frames in every transfer syntax, 8 and 12 bits, and a picture and a NIfTI file of each kind."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for syntax in SYNTAXES:
            for bits in (8, 12, 16):
                if bits > 8 and syntax == "jpeg-baseline":
                    continue
                frames = asymmetric_frames(bits, count=FRAMES, rows=ROWS, columns=COLUMNS)
                path = Path(folder, f"{syntax}-{bits}.dcm")
                write_xa(path, frames, header=XAHeader(imager_spacing=0.3), syntax=syntax, bits_stored=bits)
                found.append(path)
        frame = asymmetric_frames(count=1, rows=ROWS, columns=COLUMNS)[0]
        for suffix in ("png", "jpg"):
            found.append(Path(folder, f"picture.{suffix}"))
            Image.fromarray(frame).save(found[-1])
        for suffix in ("nii", "nii.gz"):
            found.append(Path(folder, f"array.{suffix}"))
            nibabel.save(nibabel.Nifti1Image(asymmetric_frames(rows=ROWS, columns=COLUMNS).T.copy(), np.eye(4)), found[-1])
        return tuple(Original(p.stem, "".join(p.suffixes), p.read_bytes(), open_cine(p).frames()) for p in found)


def mutant(seed: int) -> tuple[Original, str, bytes]:
    """The original, the kind of damage, and the damaged file. Kinds in capitals can be told from the file alone."""
    rng = np.random.default_rng([8, seed])
    original = originals()[seed % len(originals())]
    is_dicom = original.suffix == ".dcm"
    kinds = [_any_byte, _header_bytes, _payload, _cut, _removed, _inserted, _extreme_word]
    if is_dicom:
        kinds += [_count, _count]
        if _fragments(original.content, original.pixels):
            kinds += [_structure, _structure, _stream_header, _stream_header, _frame_header, _frame_header, _lost_fragment]
    kind = kinds[rng.integers(len(kinds))]
    changed = bytearray(original.content)
    name = kind(rng, changed, original)
    return original, name, bytes(changed)


def _any_byte(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] = rng.integers(256)
    return "any byte"


def _header_bytes(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    for _ in range(rng.integers(1, 4)):
        data[rng.integers(min(original.pixels + 12, len(data)))] = rng.integers(256)
    return "header"


def _extreme_word(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    """A length, a count or an offset: two or four bytes at an even place."""
    at = 2 * int(rng.integers(min(original.pixels + 40, len(data) - 4) // 2))
    value = _EXTREME[rng.integers(len(_EXTREME))]
    data[at : at + 4] = struct.pack("<L" if rng.random() < 0.7 else ">L", value)
    return "word"


def _payload(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    at = int(rng.integers(original.pixels, len(data)))
    size = int(rng.integers(1, 40))
    data[at : at + size] = rng.bytes(len(data[at : at + size]))
    return "payload"


def _cut(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    del data[int(rng.integers(len(data))) :]
    return "CUT"


def _removed(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    at = int(rng.integers(len(data)))
    del data[at : at + int(rng.integers(1, 200))]
    return "removed"


def _inserted(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    at = int(rng.integers(len(data)))
    data[at:at] = rng.bytes(int(rng.integers(1, 200)))
    return "inserted"


def _count(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    """Another number of frames, rows, columns, bits or samples in the header; of a deflated file they cannot be found."""
    keyword = _COUNTS[rng.integers(len(_COUNTS))]
    order = ">" if original.name.startswith("explicit-be") else "<"
    at = data.find(struct.pack(f"{order}HH", *_TAGS[keyword]), 132)
    if at < 0:
        return "none"
    if keyword == "NumberOfFrames":
        old = f"{FRAMES} ".encode()
        at = data.find(old, at + 8)
        new = str(rng.choice([1, 2, 4, 7, 100, 999_999, 99_999_999, 999_999_999, 2_147_483_647])).encode()
        new += b" " * (len(new) % 2)
        data[at - 2 : at] = struct.pack(f"{order}H", len(new)) if not original.name.startswith("implicit") else data[at - 2 : at]
        if original.name.startswith("implicit"):
            data[at - 4 : at] = struct.pack("<L", len(new))
        data[at : at + 2] = new
    else:
        value = int(rng.choice([0, 1, 3, 8, 16, 32, 39, 41, 56, 255, 4096, 32768, 65535]))
        data[at + 8 : at + 10] = struct.pack(f"{order}H", value)
    return "COUNT"


def _fragments(content: bytes | bytearray, start: int) -> list[tuple[int, int]]:
    """Offset and length of each item of encapsulated pixel data, the offset table first; empty for others."""
    position, found = start + 12, []
    if content[start + 8 : start + 12] != b"\xff\xff\xff\xff":
        return []
    while content[position : position + 4] == _ITEM:
        (length,) = struct.unpack_from("<L", content, position + 4)
        found.append((position + 8, length))
        position += 8 + length
    return found


def _structure(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    """The head of an item, or a place in the offset table."""
    items = _fragments(data, original.pixels)
    at, length = items[rng.integers(len(items))]
    place = int(rng.integers(at - 8, at + (length if at == items[0][0] else 0)))
    data[place] = rng.integers(256)
    return "STRUCTURE"


def _stream_header(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    items = _fragments(data, original.pixels)[1:]
    at, length = items[rng.integers(len(items))]
    for _ in range(rng.integers(1, 4)):
        data[at + int(rng.integers(min(length, 160)))] = rng.integers(256)
    return "stream header"


def _frame_header(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    """What states size and precision: start of frame and of scan of JPEG, size segment of JPEG 2000, segment table of RLE."""
    items = _fragments(data, original.pixels)[1:]
    at, length = items[rng.integers(len(items))]
    stream = bytes(data[at : at + length])
    if original.name.startswith("rle"):
        places = list(range(12))
    elif original.name.startswith("jpeg2000"):
        siz = stream.find(b"\xff\x51")
        places = list(range(siz + 2, siz + 43))
        places = [p for p in places if p not in (siz + 4, siz + 5)]  # which parts of the standard a decoder should know
    else:
        markers = (b"\xff\xc3", b"\xff\xf7", b"\xff\xc0")
        frame = next(p for m in markers if (p := stream.find(m)) > 0)
        scan = stream.find(b"\xff\xda")
        places = [*range(frame + 2, frame + 12), *range(scan + 2, scan + 10)]
        if original.name.startswith("jpeg-lossless-") and "sv1" not in original.name:
            places.remove(scan + 7)  # this syntax allows every predictor
    place = at + int(rng.choice(places))
    data[place] = rng.integers(256) if rng.random() < 0.7 else (data[place] + rng.integers(1, 4)) % 256
    return "FRAME HEADER"


def _lost_fragment(rng: np.random.Generator, data: bytearray, original: Original) -> str:
    items = _fragments(data, original.pixels)[1:]
    at, length = items[rng.integers(len(items))]
    del data[at - 8 : at + length]
    return "LOST FRAGMENT"


def judge(original: Original, kind: str, path: Path) -> tuple[str, str]:
    """(outcome, words): "refused", "same", "changed", or a fault."""
    try:
        cine = open_cine(path)
        frames = [cine.frame(i) for i in range(min(len(cine), 8))]
    except CineError as error:
        return ("memory", str(error)) if "more memory" in error.reason else ("refused", "")
    except BaseException as error:
        return "foreign", f"{type(error).__name__}: {error}"[:200]
    same = len(cine) == len(original.frames) and all(np.array_equal(a, b) for a, b in zip(frames, original.frames, strict=True))
    if any(f.shape != (cine.info.rows, cine.info.columns) or not np.isfinite(f).all() for f in frames):
        return "wrong", "a frame is not of the size that the cine states, or not finite"
    if same:
        return "same", ""
    return ("wrong", "reads as other frames") if kind.isupper() else ("changed", "")


def _work() -> None:
    """Judge the mutants whose seeds come in, one line each."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    originals()
    base, folder = _peak(), tempfile.mkdtemp()
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        original, kind, content = mutant(int(line))
        path = Path(folder, f"mutant{original.suffix}")
        path.write_bytes(content)
        Path("/proc/self/clear_refs").write_text("5")  # begin a new peak
        outcome, words = judge(original, kind, path)
        if _peak() - base > MOST_MEMORY:
            outcome, words = "memory", f"{(_peak() - base) >> 20} MiB"
        sys.stdout.write(json.dumps([original.name, kind, outcome, words]) + "\n")
        sys.stdout.flush()


def _peak() -> int:
    """Bytes that the process has held at most since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


class _Worker:
    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "ignore", __file__, "--worker"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()
        self._lines.get(timeout=120)

    def _follow(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def ask(self, seed: int) -> list[str]:
        assert self._process.stdin
        self._process.stdin.write(f"{seed}\n")
        self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=HANG_SECONDS)
        except queue.Empty:
            return ["", "", "hang", ""]
        return json.loads(line) if line else ["", "", "crash", f"exit code {self._process.wait()}"]

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._follower.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            stream.close()


def run(seeds: range) -> Iterator[tuple[int, str, str, str, str]]:
    """(seed, original, kind, outcome, words) of every mutant; a process that died is replaced."""
    worker = _Worker()
    try:
        for seed in seeds:
            name, kind, outcome, words = worker.ask(seed)
            if outcome in ("crash", "hang"):
                worker.end()
                worker = _Worker()
                original, kind, _ = mutant(seed)
                name = original.name
            yield seed, name, kind, outcome, words
    finally:
        worker.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        _work()
        return 0
    outcomes: Counter[str] = Counter()
    for seed, name, kind, outcome, words in run(range(args.first, args.first + args.count)):
        outcomes[outcome] += 1
        if outcome in FAULTS:
            print(f"seed {seed}: {name}, {kind}: {outcome}: {words}", flush=True)
    faults = sum(outcomes[f] for f in FAULTS)
    print(f"{args.count} mutants: " + ", ".join(f"{n} {o}" for o, n in sorted(outcomes.items())) + f"; {faults} fault(s)")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
