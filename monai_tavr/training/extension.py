"""A bundle for a schema that has grown, made of one from before: to predict with at once, to train, measure and serve further.

What it says of the groups that there were is what the old bundle said; the groups that are new are said to be absent until they
are trained. See :mod:`monai_tavr.networks.extension` for what is carried and what cannot be.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from monai_tavr.bundle import Bundle, sha256_of
from monai_tavr.files import replacing_path, write_json_atomically
from monai_tavr.keypoints import KeypointSchema, load_schema
from monai_tavr.networks.extension import added_groups, carry_heads
from monai_tavr.postprocess import Thresholds, read_thresholds, write_thresholds
from monai_tavr.typicality import FILE_NAME, read_typicality

__all__ = ["extend_bundle"]

_SCHEMA_FILE = "schema.yaml"  # in configs
_COPIED = ("LICENSE", "configs/logging.conf", "docs/data_license.txt")
# a line of a configuration -> what takes its place
_CHANGED = {
    re.compile(r"^schema:.*$", re.MULTILINE): f"schema: $@bundle_root + '/configs/{_SCHEMA_FILE}'",
    re.compile(r"^initial_weights:.*$", re.MULTILINE): "initial_weights: $@bundle_root + '/models/model.pt' # the carried heads",
}


def extend_bundle(
    out: str | os.PathLike[str],
    *,
    schema: str | os.PathLike[str] | KeypointSchema,
    bundle: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    weights_schema: str | os.PathLike[str] | KeypointSchema | None = None,
) -> tuple[str, ...]:
    """Write a bundle for a schema with more groups.

    Args:
        out: the new bundle's folder; it must not exist, or be empty.
        schema: with all groups of the old one, and new ones.
        bundle: the old bundle's folder; None = see :func:`monai_tavr.bundle.bundle_root`.
        weights: other weights than the bundle's.
        weights_schema: the schema of the weights, if not the bundle's.

    Returns:
        Names of the new groups.

    Raises:
        ValueError: the schema does not extend the old one, or ``out`` is in use; says what to do.
        FileNotFoundError: there is no bundle, or there are no weights.
    """
    source, out, new = Bundle.find(bundle), Path(out), load_schema(schema)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is in use; give another folder for the new bundle")
    origin = source.weights if weights is None else Path(weights)
    network, old, _ = source.network(origin, schema=weights_schema)
    added = added_groups(old, new)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same new heads every time
        (grown,) = source.content("network_def", schema=new)
    carried = carry_heads(grown, network.state_dict(), old=old, new=new)
    thresholds = _thresholds(origin.with_name("thresholds.json"), old, new, added)
    made = Bundle(out)
    for folder in ("configs", "models", "docs"):
        (out / folder).mkdir(parents=True)
    with replacing_path(made.weights) as temporary:
        torch.save(carried, temporary)
    write_thresholds(made.thresholds, thresholds)
    typicality = read_typicality(origin.with_name(FILE_NAME), weights_sha256=sha256_of(origin))
    if typicality is not None:  # the backbone is the same
        replace(typicality, weights_sha256=sha256_of(made.weights)).write(made.weights.with_name(FILE_NAME))
    (out / "configs" / _SCHEMA_FILE).write_text(new.to_yaml(), encoding="utf-8")
    _write_configs(source, out)
    words = _history(source, origin, old, new, added)
    _write_metadata(source, out, new, words)
    (out / "docs" / "README.md").write_text(_model_card(new, words), encoding="utf-8")
    if made.network()[1] != new:
        config = source.root / "configs" / "inference.yaml"
        raise ValueError(f"{config}: the schema does not stand on a line 'schema: ...', so that {out} still has the old one")
    return added


def _thresholds(path: Path, old: KeypointSchema, new: KeypointSchema, added: Sequence[str]) -> Thresholds:
    """Those of the old points, where there are any, and 0.5 for the new ones."""
    former = read_thresholds(path, schema=old) if path.is_file() else Thresholds(old.name, {})
    words = [former.selected_on] if former.selected_on else []
    return Thresholds(
        new.name,
        {name: former.points.get(name, 0.5) for name in new.names},
        {group: former.groups.get(group, 0.5) for group in new.groups},
        selected_on="; ".join([*words, f"0.5 for the new group(s) {', '.join(added)}"]),
        spread_floor=former.spread_floor,
        group_calibration=former.group_calibration,
    )


def _write_configs(source: Bundle, out: Path) -> None:
    """The bundle's configurations, naming the new schema, and starting a training from the carried weights."""
    for name in _COPIED:
        if (source.root / name).is_file():
            shutil.copyfile(source.root / name, out / name)
    for path in sorted((source.root / "configs").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for line, instead in _CHANGED.items():
            text = line.sub(instead, text)
        (out / "configs" / path.name).write_text(text, encoding="utf-8")


def _history(source: Bundle, weights: Path, old: KeypointSchema, new: KeypointSchema, added: Sequence[str]) -> str:
    carried = f"weights {sha256_of(weights)[:12]} of version {source.version}, schema {old.name}"
    return f"Extended to the schema {new.name}: {carried}; not trained yet: {', '.join(added)}"


def _finds(schema: KeypointSchema) -> str:
    titles = ", ".join(schema.titles.get(g, g) for g in schema.groups)
    return (
        f"Finds {schema.num_keypoints} keypoints in {schema.num_groups} groups ({titles}) on a frame of X-ray angiography, with "
        "the probability that each point is visible and each group present."
    )


def _write_metadata(source: Bundle, out: Path, schema: KeypointSchema, words: str) -> None:
    """The old metadata with what is different: points, version and history. Figures of the old model are left out."""
    path = source.root / "configs" / "metadata.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    content.pop("eval_metrics", None)
    version = f"{source.version}+{schema.name.lower()}"
    changelog = {version: words} | content.get("changelog", {})
    content |= {"version": version, "changelog": changelog, "description": _finds(schema)}
    output = content.get("network_data_format", {}).get("outputs", {}).get("pred")
    if output is not None:
        rows = [*schema.names, *schema.group_names]
        output |= {"num_channels": len(rows), "channel_def": {str(i): name for i, name in enumerate(rows)}}
    write_json_atomically(out / "configs" / "metadata.json", content)


def _model_card(schema: KeypointSchema, words: str) -> str:
    rows = "\n".join(f"| {group} | {', '.join(points)} |" for group, points in schema.groups.items())
    return f"""# TAVR grouped keypoints, {schema.name}

{_finds(schema)}

| group | points |
|---|---|
{rows}

{words}. The figures of that version hold for its groups only until this bundle is trained further.

Not a medical device; not for use in clinical decisions.
"""
