"""Finding a bundle and loading it: which one wins, and what is said when something is missing or wrong."""

from __future__ import annotations

import hashlib
import pickle
import re

import pytest
import torch
from tiny_bundle import CentroidNet, write_bundle

from monai_tavr import bundle as module
from monai_tavr.bundle import Bundle, bundle_root, sha256_of
from monai_tavr.keypoints import TAVR11, load_schema


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    monkeypatch.delenv(module.ENVIRONMENT, raising=False)


def test_the_folder_given_wins_over_the_environment(tmp_path, monkeypatch):
    given, other = write_bundle(tmp_path / "given"), write_bundle(tmp_path / "other")
    monkeypatch.setenv(module.ENVIRONMENT, str(other))
    assert bundle_root(given) == given.resolve()
    assert bundle_root() == other.resolve()


def test_a_checkout_comes_before_the_copy_in_the_package(tmp_path, monkeypatch):
    package = tmp_path / "checkout" / "monai_tavr"
    copy = write_bundle(package / "bundle_files")
    monkeypatch.setattr(module, "__file__", str(package / "bundle.py"))
    assert bundle_root() == copy
    write_bundle(tmp_path / "else").rename(tmp_path / "unused")
    for part in ("configs", "models"):
        (tmp_path / "unused" / part).rename(tmp_path / "checkout" / part)
    assert bundle_root() == tmp_path / "checkout"


def test_no_bundle_says_where_it_looked(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no configs/inference\.yaml in the bundle asked for"):
        bundle_root(tmp_path)
    monkeypatch.setenv(module.ENVIRONMENT, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="in the bundle of MONAI_TAVR_BUNDLE"):
        bundle_root()
    monkeypatch.delenv(module.ENVIRONMENT)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "monai_tavr" / "bundle.py"))
    with pytest.raises(FileNotFoundError, match=r"bundle_files; name its folder, or set MONAI_TAVR_BUNDLE"):
        bundle_root()


def test_version_and_digest(tmp_path):
    found = Bundle.find(write_bundle(tmp_path / "b"))
    assert found.version == "9.8.7"
    assert sha256_of(found.weights) == hashlib.sha256(found.weights.read_bytes()).hexdigest()
    (found.root / "configs" / "metadata.json").unlink()
    assert found.version == "unknown"


def test_the_network_comes_with_its_weights_schema_and_size(tmp_path):
    network, schema, size = Bundle.find(write_bundle(tmp_path / "b", present={"AA1": 0.25})).network()
    assert (schema, size, network.training) == (TAVR11, (64, 64), False)
    assert torch.sigmoid(network.visibility[0]).item() == pytest.approx(0.25)


def test_a_training_checkpoint_is_taken_too(tmp_path):
    root = write_bundle(tmp_path / "b")
    torch.save({"network": CentroidNet().state_dict(), "epoch": 3}, tmp_path / "checkpoint.pt")
    network, _, _ = Bundle.find(root).network(tmp_path / "checkpoint.pt")
    assert network.visibility.abs().sum() == 0


@pytest.mark.parametrize(("said", "name"), [("authors10", "AUTHORS10"), ("$'author' + 's10'", "AUTHORS10"), ("tavr11", "TAVR11")])
def test_the_schema_is_read_without_the_network(tmp_path, said, name):
    root = write_bundle(tmp_path / "b")
    config = root / "configs" / "inference.yaml"
    (root / "models" / "model.pt").unlink()
    config.write_text(re.sub(r"^schema:.*$", lambda _: f'schema: "{said}"', config.read_text(), flags=re.MULTILINE))
    assert Bundle.find(root).schema().name == name


def test_a_bundle_without_a_schema_says_so(tmp_path):
    root = write_bundle(tmp_path / "b")
    (root / "configs" / "inference.yaml").write_text("image_size: [64, 64]\n")
    with pytest.raises(ValueError, match=r"inference\.yaml: no 'schema'"):
        Bundle.find(root).schema()


def test_another_schema_makes_another_network(tmp_path):
    root = write_bundle(tmp_path / "b", schema="authors10")
    network, schema, _ = Bundle.find(root).network(schema="authors10")
    assert schema == load_schema("authors10")
    assert len(network.visibility) == 10 + 3
    with pytest.raises(ValueError, match="weights do not fit the network of"):
        Bundle.find(root).network()
    with pytest.raises(ValueError, match=r"network_def with schema TAVR11 \(monai-tavr extend adds groups to a model of fewer\)"):
        Bundle.find(root).network(schema="tavr11")


def test_missing_weights_say_how_to_get_some(tmp_path):
    found = Bundle.find(write_bundle(tmp_path / "b"))
    found.weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.pt: no weights; train some"):
        found.network()


def test_weights_that_would_run_code_are_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (tmp_path.joinpath("harm").mkdir, ())

    found = Bundle.find(write_bundle(tmp_path / "b"))
    torch.save({"visibility": Harmful()}, found.weights)
    with pytest.raises(ValueError, match="not a file of weights that can be read safely"):
        found.network()
    found.weights.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match="not a file of weights that can be read safely"):
        found.network()
    assert not (tmp_path / "harm").exists()


def test_weights_that_are_no_state_dict_are_refused(tmp_path):
    found = Bundle.find(write_bundle(tmp_path / "b"))
    torch.save(torch.zeros(3), found.weights)
    with pytest.raises(ValueError, match=r"model\.pt: expected a state dict .* got Tensor"):
        found.network()


def test_a_configuration_without_an_id_is_named(tmp_path):
    found = Bundle.find(write_bundle(tmp_path / "b"))
    with pytest.raises(ValueError, match=r"inference\.yaml: no 'inferer'"):
        found.content("inferer")
    path = found.root / "configs" / "inference.yaml"
    path.write_text(path.read_text().replace("CentroidNet", "NoSuchNet"))
    with pytest.raises(ValueError, match=r"inference\.yaml: 'network_def' cannot be built"):
        found.network()
