"""Add a group of points to the model: from a few lines of YAML to a predicted frame, in less than a minute.

The new point is the middle of the annulus, for it can be labelled without a person: half way from AA1 to AA2. docs/schemas.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from monai.bundle import run

from monai_tavr import TAVR11, KeypointPredictor, extend_bundle, find_cines, generate_dataset

# Few steps, so that it takes seconds; leave them out for a real training.
SHORT = {"max_epochs": 1, "iterations_per_epoch": 50, "val_interval": 1, "warmup_iterations": 5, "ema_momentum": 0.2}


def label_the_middle(path: Path) -> None:
    """What an annotator does in the viewer: on every frame, place the new point or say that it is absent."""
    label = json.loads(path.read_text())
    for points in (frame["points"] for frame in label["frames"]):
        a, b = points["AA1"], points["AA2"]
        both = "x" in a and "x" in b
        points["AC"] = {"state": "visible", **{k: (a[k] + b[k]) / 2 for k in "xy"}} if both else {"state": "absent"}
    path.write_text(json.dumps(label))


def main() -> None:
    """The way, step by step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/add_a_group"), help="folder to write to (default: %(default)s)")
    (out := parser.parse_args().out).mkdir(parents=True, exist_ok=True)

    # 1. The schema: a copy of TAVR11's YAML with a name of its own and one group more.
    text = TAVR11.to_yaml().replace("name: TAVR11", "name: TAVR12").replace("extends: []", "extends: [TAVR11]")
    text = text.replace("groups:\n", "groups:\n  centre: {points: [AC], title: Middle of the annulus}\n", 1)
    (schema := out / "tavr12.yaml").write_text(text)

    # 2. Labels: the phantom leaves the new point unlabelled; a person labels it. Label files of TAVR11 could be used as they are.
    generate_dataset(out / "data", preset="tiny", schema=schema, workers=1, progress=False)
    for path in (out / "data").glob("P*/*.json"):
        label_the_middle(path)

    # 3. The model: heads of the old groups are kept, the new one is fresh. A small input, so that it takes seconds.
    print("new groups:", extend_bundle(out / "bundle", schema=schema))
    for config in (out / "bundle" / "configs").glob("*.yaml"):
        config.write_text(config.read_text().replace("image_size: [384, 384]", "image_size: [128, 128]"))

    # 4. A few steps from there, and a frame of a patient that was not trained on.
    folders = {"bundle_root": str(out / "bundle"), "dataset_dir": str(out / "data"), "output_dir": str(out / "train")}
    run(config_file=str(out / "bundle" / "configs" / "train.yaml"), batch_size=4, logging_file=False, **folders, **SHORT)
    predictor = KeypointPredictor(out / "bundle", weights=out / "train" / "model.pt")
    frame = predictor.predict(find_cines([out / "data" / "P001"])[0], stage="any")[0]
    print({name: [round(float(v), 1) for v in xy] for name, xy in zip(frame.schema.names, frame.xy, strict=True)})


if __name__ == "__main__":
    main()
