"""TAVR11 with a fourth group, by the YAML alone: served, annotated in Chromium, and learnt from the submitted labels."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import training_bundle
from app_server import Server, free_port, start_server
from grown_schema import GUIDEWIRE, write_grown_schema
from playwright.sync_api import Page
from stock_client import MONAILabelClient
from training_bundle import label_of, sop_of, write_studies, write_training_bundle
from viewer_page import open_plain, points_of_frame, show_frame, submit, to_page, viewer_page, wait_for_words

from monai_tavr.formats.label_json import read_label_json, write_label_json
from monai_tavr.keypoints import TAVR11, KeypointSchema, load_schema
from monai_tavr.postprocess import Thresholds, write_thresholds

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass
class Site:
    """The server, started with ``--schema``, and its folders."""

    folder: Path
    schema: KeypointSchema
    server: Server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("fourth_group"), free_port()
    schema = load_schema(write_grown_schema(folder / "grown.yaml"))
    bundle = write_training_bundle(folder / "bundle", schema=schema)
    # whatever the untrained network says, every point is there that the stage allows
    everything = Thresholds(schema.name, dict.fromkeys(schema.names, 0.0), dict.fromkeys(schema.groups, 0.0))
    write_thresholds(bundle / "models" / "thresholds.json", everything)
    options = {"studies": write_studies(folder / "studies"), "labels": folder / "labels", "bundle": bundle, "port": port}
    options["schema"] = folder / "grown.yaml"
    command = ["-m", "monai_tavr.cli", "serve", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
    path = os.pathsep.join([str(Path(training_bundle.__file__).parent), os.environ.get("PYTHONPATH", "")])
    with start_server(command, port, folder / "server", PYTHONPATH=path) as server:
        assert server.client.get("/info/").status_code == 200, server.log.read_text()  # MONAI Label is there
        yield Site(folder, schema, server)


@pytest.fixture(scope="module")
def page(site: Site, problems: list[str]) -> Iterator[Page]:
    with viewer_page(site.server.url, problems, webgl=False) as opened:
        open_plain(opened, site.server.url, sop_of(1))
        opened.wait_for_function("() => window.tavr.session.model.ready")
        yield opened


def test_every_stage_predicts_its_groups(page: Page, site: Site) -> None:
    assert page.locator(".tavr-group h3").all_inner_texts() == [site.schema.titles[g] for g in site.schema.groups]
    stages = page.locator("[data-tavr=stage] option").evaluate_all("options => options.map(option => option.value)")
    assert stages == ["any", "wiring", "survey", "crossing", "deployment", "follow-up"]
    for stage in (*stages[1:], "any"):
        page.locator("[data-tavr=stage]").select_option(stage)
        page.locator("[data-tavr=predict-frame]:enabled").click()
        wait_for_words(page, "Frame 1 predicted.")
        points = page.evaluate("() => window.tavr.session.document.points(0)")
        allowed = site.schema.groups_at(stage) or site.schema.group_names
        expected = {n: "visible" if site.schema.group_of(n) in allowed else "absent" for n in site.schema.names}
        assert {name: point["state"] for name, point in points.items()} == expected, stage


def test_a_point_of_the_new_group_is_placed_and_submitted(page: Page, site: Site) -> None:
    show_frame(page, 1)
    page.keyboard.press("2")  # the second group of the schema
    assert page.evaluate("() => window.tavr.session.armed") == "GW1"
    ((x, y),) = to_page(page, {"GW1": (30.0, 20.0)}).values()
    page.mouse.click(x, y)
    submit(page)
    label = site.server.client.get(f"/tavr/labels/{sop_of(1)}").json()["label"]
    assert label["keypoints"] == "GROWN13"
    points = points_of_frame(label, 1)
    assert set(points) == {"GW1"}
    assert (points["GW1"]["state"], points["GW1"]["source"]) == ("visible", "annotator")
    assert (points["GW1"]["x"], points["GW1"]["y"]) == pytest.approx((30, 20), abs=0.5)


def test_nothing_went_wrong_in_the_page(problems: list[str]) -> None:
    assert problems == []


def test_the_server_learns_the_new_group(site: Site) -> None:
    """From labels of the schema, and of TAVR11, which it extends."""
    client = MONAILabelClient(site.server.url, tmpdir=str(site.folder))
    for patient, schema in ((1, site.schema), (2, TAVR11), (3, site.schema)):
        write_label_json(site.folder / "submitted.json", label_of(patient, schema=schema))
        client.save_label(sop_of(patient), str(site.folder / "submitted.json"), tag="final", params={})
    client.train_start("tavr_keypoints", {"max_epochs": 4, "learning_rate": 0.01})
    deadline = time.monotonic() + 600
    while (state := client.train_status())["status"] == "RUNNING":
        assert time.monotonic() < deadline, state
        time.sleep(0.2)
    assert state["status"] == "DONE", state
    newest = site.server.client.get("/tavr/models").json()[0]
    assert newest["labels"]["training"]["frames"] == 8
    kept = site.folder / "labels" / "models" / newest["id"]
    assert json.loads((kept / "thresholds.json").read_text())["schema"] == "GROWN13"
    assert (kept / "uncertainty.json").is_file()
    site.server.client.post(f"/tavr/models/{newest['id']}/activate", params={"anyway": "true"}).raise_for_status()
    answer = site.server.client.post("/infer/tavr_keypoints", params={"image": sop_of(2), "output": "json"}).json()
    (site.folder / "answer.json").write_text(json.dumps(answer))
    found = read_label_json(site.folder / "answer.json", schema=site.schema)
    assert newest["weights_sha256"][:12] in (found.edits[0, GUIDEWIRE[0]].author or "")
