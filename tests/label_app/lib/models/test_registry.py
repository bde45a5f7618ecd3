"""The history of models: what is published is whole, what is active survives, and going back is one call."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from label_app.lib.models.registry import SHIPPED, ModelRegistry, NotPublished, UnknownModel
from monai_tavr.bundle import sha256_of


@dataclass(frozen=True)
class Predictor:
    """Stands for a KeypointPredictor."""

    weights: Path
    version: str = "1.2.3"

    @property
    def weights_sha256(self) -> str:
        return sha256_of(self.weights)


def load_trained(shipped: Predictor, weights: Path) -> Predictor:
    if weights.read_bytes() == b"damaged":
        raise ValueError("not weights")
    if weights.read_bytes() == b"huge":
        raise RuntimeError("out of memory\nTried to allocate")
    return Predictor(weights)


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    path = tmp_path / "bundle" / "model.pt"
    path.parent.mkdir()
    path.write_bytes(b"shipped")
    return path


def registry(tmp_path: Path, shipped: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models", lambda: Predictor(shipped), load_trained=load_trained)  # type: ignore[arg-type,return-value]


def weights(tmp_path: Path, content: bytes) -> Path:
    run = tmp_path / "run"
    run.mkdir(exist_ok=True)
    (run / "model.pt").write_bytes(content)
    (run / "thresholds.json").write_text(json.dumps({"of": content.decode()}))
    return run / "model.pt"


def publish(models: ModelRegistry, path: Path, **other: Any) -> str:
    active = models.active
    assert active is not None
    values = {"parent": active.id, "labels": {"training_patients": ["aa"]}, "scores": {"score": 0.5}, "author": "Ann", **other}
    return models.publish(path, **values).id


def test_a_new_folder_has_the_shipped_model_only(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    assert models.predictor().weights == shipped
    [only] = models.history()
    assert (only["id"], only["version"], only["active"], only["from"]) == (SHIPPED, "1.2.3", True, None)
    assert not (tmp_path / "models").exists()  # nothing is written before there is something


def test_what_is_published_is_active_also_after_a_restart(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    first = publish(models, weights(tmp_path, b"one"))
    second = publish(models, weights(tmp_path, b"two"))
    for seen in (models, registry(tmp_path, shipped)):
        assert seen.predictor().weights.read_bytes() == b"two"
        assert seen.predictor().weights.with_name("thresholds.json").read_text() == '{"of": "two"}'
        history = seen.history()
        assert [h["id"] for h in history] == [second, first, SHIPPED]
        assert [h["version"] for h in history] == ["1.2.3+2", "1.2.3+1", "1.2.3"]
        assert [h["active"] for h in history] == [True, False, False]
        assert [h["from"] for h in history] == [first, SHIPPED, None]
        assert (history[0]["author"], history[0]["scores"]) == ("Ann", {"score": 0.5})


def test_a_published_model_is_loaded_once_from_where_it_is_kept(tmp_path: Path, shipped: Path) -> None:
    loaded = []

    def load(predictor: Predictor, path: Path) -> Predictor:
        loaded.append(path)
        return load_trained(predictor, path)

    models = ModelRegistry(tmp_path / "models", lambda: Predictor(shipped), load_trained=load)  # type: ignore[arg-type,return-value]
    kept = tmp_path / "models" / publish(models, weights(tmp_path, b"one")) / "model.pt"
    assert loaded == [kept]
    assert models.predictor().weights == kept


def test_going_back_and_forth(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    first = publish(models, weights(tmp_path, b"one"))
    publish(models, weights(tmp_path, b"two"))
    before = models.predictor()
    models.activate(first)
    assert registry(tmp_path, shipped).predictor().weights.read_bytes() == b"one"
    assert before.weights.read_bytes() == b"two"  # who holds the former predictor goes on with it
    models.activate(SHIPPED)
    assert registry(tmp_path, shipped).predictor().weights == shipped


@pytest.mark.parametrize("name", ["0009-0123456789ab", "../bundle", "active", "", "0001", "shipped/", "0001-0123456789ab/../x"])
def test_only_what_is_in_the_history_can_be_activated(tmp_path: Path, shipped: Path, name: str) -> None:
    models = registry(tmp_path, shipped)
    publish(models, weights(tmp_path, b"one"))
    with pytest.raises(UnknownModel):
        models.activate(name)
    assert models.predictor().weights.read_bytes() == b"one"


def test_what_was_not_published_is_kept_with_its_figures_and_takes_a_word_to_activate(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    first = publish(models, weights(tmp_path, b"one"), published=False, reason="worse: 0.1 to 0.2")
    assert models.active is not None
    assert models.active.id == SHIPPED
    assert models.history()[0]["reason"] == "worse: 0.1 to 0.2"
    with pytest.raises(NotPublished, match=r"worse: 0\.1 to 0\.2"):
        models.activate(first)
    models.activate(first, anyway=True)
    assert models.predictor().weights.read_bytes() == b"one"
    models.activate(SHIPPED)
    second = publish(models, weights(tmp_path, b"two"), published=False)
    with pytest.raises(UnknownModel, match="were not kept"):  # nobody wanted them; the figures stay
        models.activate(first, anyway=True)
    assert [h["id"] for h in models.history()] == [second, first, SHIPPED]


def test_weights_that_cannot_be_loaded_leave_nothing_behind(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    with pytest.raises(ValueError, match="not weights"):
        publish(models, weights(tmp_path, b"damaged"))
    assert list((tmp_path / "models").iterdir()) == []
    assert models.predictor().weights == shipped


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = registry(tmp_path, shipped)

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("label_app.lib.models.registry.shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        publish(models, weights(tmp_path, b"one"))
    assert list((tmp_path / "models").iterdir()) == []
    assert models.predictor().weights == shipped


def test_a_killed_server_leaves_no_half_model(tmp_path: Path, shipped: Path) -> None:
    publish(registry(tmp_path, shipped), weights(tmp_path, b"one"))
    unfinished = tmp_path / "models" / ".new-abc"
    unfinished.mkdir()
    (unfinished / "model.pt").write_bytes(b"hal")
    models = registry(tmp_path, shipped)
    assert len(models.history()) == 2
    assert not unfinished.exists()


def test_weights_that_changed_on_disk_are_not_used(tmp_path: Path, shipped: Path) -> None:
    first = publish(registry(tmp_path, shipped), weights(tmp_path, b"one"))
    (tmp_path / "models" / first / "model.pt").write_bytes(b"other")
    models = registry(tmp_path, shipped)
    assert models.predictor().weights == shipped
    assert models.problem is not None
    assert "not those that were published" in models.problem
    with pytest.raises(ValueError, match="not those that were published"):
        models.activate(first)


def test_a_damaged_record_hides_no_other_model(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    first = publish(models, weights(tmp_path, b"one"))
    second = publish(models, weights(tmp_path, b"two"))
    (tmp_path / "models" / first / "record.json").write_text('{"id": 1}')
    assert [h["id"] for h in registry(tmp_path, shipped).history()] == [second, SHIPPED]


def test_a_model_has_seen_the_patients_of_those_it_descends_from(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    first = publish(models, weights(tmp_path, b"one"), labels={"training_patients": ["aa", "bb"]})
    second = publish(models, weights(tmp_path, b"two"), labels={"training_patients": ["cc"], "training_images": ["1.2"]})
    models.activate(SHIPPED)
    third = publish(models, weights(tmp_path, b"three"), labels={"training_patients": ["dd"]})
    assert models.trained_on(SHIPPED) == set()
    assert models.trained_on(first) == {"aa", "bb"}
    assert models.trained_on(second) == {"aa", "bb", "cc", "1.2"}
    assert models.trained_on(third) == {"dd"}


def test_two_at_once_get_two_numbers(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    paths = [weights(tmp_path / str(i), str(i).encode()) for i in range(4) if (tmp_path / str(i)).mkdir() is None]
    threads = [threading.Thread(target=publish, args=(models, p)) for p in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(h["id"][:4] for h in models.history() if h["id"] != SHIPPED) == ["0001", "0002", "0003", "0004"]
    assert sum(h["active"] for h in models.history()) == 1


def test_without_weights_everything_says_what_is_missing(tmp_path: Path) -> None:
    def load() -> Predictor:
        raise FileNotFoundError("models/model.pt: no weights")

    models = ModelRegistry(tmp_path, load)  # type: ignore[arg-type]
    assert models.active is None
    assert models.history() == []
    with pytest.raises(ValueError, match=r"the model cannot be used: models/model\.pt: no weights"):
        models.predictor()


def test_the_weights_of_the_active_model_stay_though_it_was_not_published(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    first = publish(models, weights(tmp_path, b"one"), published=False)
    models.activate(first, anyway=True)
    publish(models, weights(tmp_path, b"two"), published=False)
    assert models.weights(first).read_bytes() == b"one"
    restarted = registry(tmp_path, shipped)
    assert restarted.predictor().weights.read_bytes() == b"one"
    assert restarted.problem is None


def test_a_damaged_record_keeps_no_other_model_out(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    damaged = publish(models, weights(tmp_path, b"one"))
    (tmp_path / "models" / damaged / "record.json").write_text("{")
    kept = publish(models, weights(tmp_path, b"two"), parent=SHIPPED, published=False)
    assert models.weights(kept).read_bytes() == b"two"
    assert models.weights(damaged).read_bytes() == b"one"


def test_a_device_without_room_is_said_in_words(tmp_path: Path, shipped: Path) -> None:
    models = registry(tmp_path, shipped)
    with pytest.raises(ValueError, match="cannot be loaded: out of memory"):
        publish(models, weights(tmp_path, b"huge"))
    assert list((tmp_path / "models").iterdir()) == []
