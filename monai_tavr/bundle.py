"""Where the bundle lies and what is in it: configuration, weights, thresholds.

The repository's root is a MONAI bundle. An installed wheel carries a copy of it inside the package, in ``bundle_files``. A folder
named by the caller, or by the environment variable ``MONAI_TAVR_BUNDLE``, comes before both, so that a hospital can pin its own.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.formats.checks import mapping, read_json, text
from monai_tavr.keypoints import KeypointSchema, load_schema

if TYPE_CHECKING:
    import torch

__all__ = ["ENVIRONMENT", "Bundle", "bundle_root", "sha256_of"]

ENVIRONMENT = "MONAI_TAVR_BUNDLE"
_CONFIG = Path("configs", "inference.yaml")


def bundle_root(bundle: str | os.PathLike[str] | None = None) -> Path:
    """The bundle's folder: the one given, else ``MONAI_TAVR_BUNDLE``, else the checkout, else the copy inside the wheel.

    Raises:
        FileNotFoundError: the folder holds no bundle; the message says where it looked.
    """
    named = bundle if bundle is not None else os.environ.get(ENVIRONMENT)
    if named:
        root = Path(named)
        if not (root / _CONFIG).is_file():
            origin = "the bundle asked for" if bundle is not None else f"the bundle of {ENVIRONMENT}"
            raise FileNotFoundError(
                f"{root}: no {_CONFIG.as_posix()} in {origin}; name the folder that holds 'configs' and 'models'"
            )
        return root.resolve()
    package = Path(__file__).resolve().parent
    for root in (package.parent, package / "bundle_files"):
        if (root / _CONFIG).is_file():
            return root
    raise FileNotFoundError(
        f"no bundle in {package.parent} nor in {package / 'bundle_files'}; name its folder, or set {ENVIRONMENT} to it"
    )


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file: which weights made a prediction."""
    with Path(path).open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle and its inference configuration, parsed when asked for.

    Attributes:
        root: the bundle's folder.
    """

    root: Path

    @classmethod
    def find(cls, bundle: str | os.PathLike[str] | None = None) -> Bundle:
        """See :func:`bundle_root`."""
        return cls(bundle_root(bundle))

    @property
    def weights(self) -> Path:
        """The shipped weights."""
        return self.root / "models" / "model.pt"

    @property
    def thresholds(self) -> Path:
        """The thresholds chosen for the shipped weights."""
        return self.root / "models" / "thresholds.json"

    @property
    def version(self) -> str:
        """Version of the model, from ``configs/metadata.json``; ``unknown`` without one.

        Raises:
            ValueError: the file is damaged.
        """
        path = self.root / "configs" / "metadata.json"
        if not path.is_file():
            return "unknown"
        return text(mapping(read_json(path), str(path)).get("version", "unknown"), f"{path}: version")

    def schema(self) -> KeypointSchema:
        """The keypoint schema of the configuration; nothing else of it is parsed.

        Raises:
            ValueError: it names none, or one that cannot be read.
        """
        import yaml

        path = self.root / _CONFIG
        named = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("schema")
        if named is None:
            raise ValueError(f"{path}: no 'schema'; name a keypoint schema there, e.g. tavr11")
        is_expression = isinstance(named, str) and named.startswith(("$", "@"))
        return load_schema(self.content("schema")[0] if is_expression else named)

    def content(self, *names: str, **replaced: Any) -> tuple[Any, ...]:
        """Parsed content of ids of ``configs/inference.yaml``, e.g. ``network_def``; ``replaced`` gives other values to ids.

        Raises:
            ValueError: an id is missing or cannot be built; the message names the file and the id.
        """
        from monai.bundle import ConfigParser

        path = self.root / _CONFIG
        parser = ConfigParser()
        parser.read_config(str(path))
        for name, value in {"bundle_root": str(self.root), **replaced}.items():
            parser[name] = value
        found = []
        for name in names:
            if name not in parser:
                raise ValueError(f"{path}: no {name!r}; a bundle for this package defines {list(names)}")
            try:
                found.append(parser.get_parsed_content(name))
            except (RuntimeError, ValueError, KeyError, ImportError, ModuleNotFoundError) as error:
                raise ValueError(f"{path}: {name!r} cannot be built: {error}") from error
        return tuple(found)

    def network(
        self, weights: str | os.PathLike[str] | None = None, *, schema: str | os.PathLike[str] | KeypointSchema | None = None
    ) -> tuple[torch.nn.Module, KeypointSchema, tuple[int, int]]:
        """The network with its weights, in evaluation mode on the CPU, its schema, and its input's (height, width) in pixels.

        Args:
            weights: a file for :func:`monai_tavr.weights.read_weights`; None = the shipped ones.
            schema: instead of the configuration's.

        Raises:
            FileNotFoundError: there are no weights.
            ValueError: they are damaged, or do not fit the network.
        """
        from monai_tavr.weights import load_weights

        path = self.weights if weights is None else Path(weights)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no weights; train some (python -m monai.bundle run --config_file configs/train.yaml) or name a file"
            )
        replaced = {} if schema is None else {"schema": load_schema(schema)}
        network, used_schema, image_size = self.content("network_def", "schema", "image_size", **replaced)
        of = f"{self.root / _CONFIG}, network_def"
        if schema is not None:
            of += f" with schema {load_schema(used_schema).name} (monai-tavr extend adds groups to a model of fewer)"
        load_weights(network, path, defined_by=of)
        height, width = (int(s) for s in image_size)
        return network.eval(), load_schema(used_schema), (height, width)
