"""Training helpers: what is resumed is what was saved, and the log says what happened."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import IgniteMetricHandler
from monai.optimizers import WarmupCosineSchedule

from monai_tavr.evaluation import metrics
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.training.handlers import (
    NOTHING_FOUND,
    BestModelSaver,
    ProgressLog,
    TrainingCheckpoint,
    ValidationScore,
    loss_terms,
    prepare_batch,
    start_network,
    validation_metrics,
)


class Run:
    """A regression of one weight, trained by hand; noise makes every step different."""

    def __init__(self, folder: Path, *, max_epochs: int, resume: bool = True, stop_after: int | None = None) -> None:
        torch.manual_seed(0)
        self.network = torch.nn.Linear(1, 1)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.1)
        self.scheduler = WarmupCosineSchedule(self.optimizer, warmup_steps=2, t_total=5 * max_epochs)
        self.rates: list[float] = []
        self.engine = Engine(self.step)
        self.engine.state.rank = 0
        self.checkpoint = TrainingCheckpoint(
            folder / "run" / "checkpoint.pt",
            {"network": self.network, "optimizer": self.optimizer},
            lr_scheduler=self.scheduler,
            resume=resume,
        )
        self.checkpoint.attach(self.engine)
        if stop_after is not None:
            self.engine.add_event_handler(Events.EPOCH_COMPLETED(once=stop_after), lambda engine: engine.terminate())
        self.engine.run(range(5), max_epochs=max_epochs)

    def step(self, engine: Engine, batch: int) -> float:
        self.optimizer.zero_grad()
        loss = (self.network(torch.full((1, 1), float(batch))) - 2 * batch).square().sum()
        loss.backward()
        self.optimizer.step()
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.scheduler.step()
        return float(loss.detach())


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole", max_epochs=4)
    first = Run(tmp_path / "parts", max_epochs=4, stop_after=2)
    second = Run(tmp_path / "parts", max_epochs=4)
    assert first.rates + second.rates == pytest.approx(whole.rates)
    assert second.engine.state.epoch == 4
    assert second.engine.state.iteration == 20
    assert torch.equal(second.network.weight, whole.network.weight)


def test_a_finished_run_can_be_prolonged_but_not_shortened(tmp_path: Path) -> None:
    Run(tmp_path, max_epochs=2)
    longer = Run(tmp_path, max_epochs=3)
    assert len(longer.rates) == 5
    # the schedule is the longer one's: 10 of its 15 steps are done, the first two of them warm-up
    assert longer.rates[0] == pytest.approx(0.1 * 0.5 * (1 + np.cos(np.pi * 8 / 13)))
    with pytest.raises(ValueError, match=r"checkpoint\.pt holds epoch 3, but max_epochs is 1"):
        Run(tmp_path, max_epochs=1)


def test_resume_can_be_refused_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    Run(tmp_path, max_epochs=1)
    assert len(Run(tmp_path, max_epochs=2, resume=False).rates) == 10
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["checkpoint.pt"]


def test_other_processes_do_not_save(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    engine.state.rank = 1
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    TrainingCheckpoint(tmp_path / "checkpoint.pt", {}, lr_scheduler=scheduler).attach(engine)
    engine.run([0], max_epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_best_model_is_a_plain_state_dict_and_its_score_survives(tmp_path: Path) -> None:
    def best(network: torch.nn.Module) -> BestModelSaver:
        options = {"save_key_metric": True, "key_metric_name": "score", "key_metric_filename": "model.pt"}
        return BestModelSaver(str(tmp_path), {"model": network}, **options)

    def validate(saver: BestModelSaver, score: float) -> None:
        engine = Engine(lambda engine, batch: None)
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: e.state.metrics.update(score=score))
        saver.attach(engine)
        engine.run([0], max_epochs=1)

    network = torch.nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.fill_(3.0)
    first = best(network)
    validate(first, 0.8)
    with torch.no_grad():
        network.weight.fill_(4.0)
    second = best(network)
    second.load_state_dict(first.state_dict())
    validate(second, 0.7)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"] == 3.0
    validate(second, 0.9)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"] == 4.0


def test_progress_says_where_how_fast_and_how_long(caplog: pytest.LogCaptureFixture) -> None:
    loss = torch.nn.Module()
    loss.terms = {"group": torch.tensor(0.5)}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.25)
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(float(batch), requires_grad=True)})
    ProgressLog(loss_terms(loss), optimizer=optimizer, interval=3).attach(engine)
    with caplog.at_level(logging.INFO):
        engine.run([1, 2, 6, 0], max_epochs=2)
    lines = [r.getMessage() for r in caplog.records if "it/s" in r.getMessage()]
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  iteration 3/4  loss 3.0000  group 0.5000  lr 2.50e-01")
    assert lines[1].startswith("epoch 2/2  iteration 2/4  loss 1.0000")
    assert lines[1].endswith("left 0:00:00")


def test_score_wants_points_found_and_close() -> None:
    def keypoints(offset: float) -> Keypoints:
        xy = np.full((11, 2), 50.0)
        xy[:, 0] += offset
        return Keypoints(TAVR11, xy)

    score = ValidationScore()
    score([keypoints(5)], [keypoints(0)])
    assert score.aggregate() == pytest.approx(1 - 5 / 50)
    score.reset()
    # half of the frames lie 30 px off: half of F1 is lost, and the mean error is 15 px
    score([keypoints(0), keypoints(30)], [keypoints(0), keypoints(0)])
    assert score.aggregate() == pytest.approx(0.5 - 15 / 50)
    score.reset()
    nothing = Keypoints(TAVR11, np.full((11, 2), np.nan))
    score([nothing], [nothing])
    assert score.aggregate() == NOTHING_FOUND


def test_a_model_that_finds_nothing_scores_below_any_that_finds_something() -> None:
    def of(prediction: np.ndarray) -> float:
        score = ValidationScore()
        score([Keypoints(TAVR11, prediction)], [Keypoints(TAVR11, np.zeros((11, 2)))])
        return score.aggregate()

    half = np.array([[10.0, 0.0]] * 6 + [[48.5, 0.0]] * 5)  # F1 6/11, mean error 27.5 px
    assert of(half) == pytest.approx(6 / 11 - 27.5 / 50)
    nothing, corner = np.full((11, 2), np.nan), np.full((11, 2), 4096.0)
    assert of(nothing) < of(corner) < of(half) < 0


def test_the_figures_of_a_validation_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    work_out = metrics._figures
    monkeypatch.setattr(metrics, "_figures", lambda table: tables.append(table) or work_out(table))
    score = ValidationScore()
    handlers = {"score": IgniteMetricHandler(score, save_details=False)}
    shown = validation_metrics(TAVR11, lambda output: output, score)
    engine = Engine(lambda engine, batch: batch)
    for name, handler in (handlers | shown).items():
        handler.attach(engine, name)
    truth, near = (Keypoints(TAVR11, np.full((11, 2), v)) for v in (50.0, 53.0))
    tables.clear()
    for error in (0.0, 18**0.5):
        engine.run([([truth if error == 0 else near], [truth])])
        assert engine.state.metrics["mean_error_px"] == pytest.approx(error)
        assert engine.state.metrics["score"] == pytest.approx(1 - error / 50)
        assert engine.state.metrics["f1"] == 1.0
    assert [len(t.visible) for t in tables] == [1, 1]


def test_without_a_score_the_figures_share_a_table_of_their_own() -> None:
    engine = Engine(lambda engine, batch: batch)
    for name, handler in validation_metrics("tavr11", lambda output: output).items():
        handler.attach(engine, name)
    truth, near = (Keypoints(TAVR11, np.full((11, 2), v)) for v in (50.0, 53.0))
    engine.run([([near], [truth]), ([truth], [truth])])
    assert engine.state.metrics["mean_error_px"] == pytest.approx(18**0.5 / 2)
    assert engine.state.metrics["recall"] == 1.0


def test_batches_are_channels_last_with_the_target_as_label() -> None:
    image, target = prepare_batch({"image": torch.rand(2, 3, 8, 8), "target": torch.ones(2, 14, 3)}, "cpu")
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert target is not None
    assert target.shape == (2, 14, 3)
    assert prepare_batch({"image": torch.rand(2, 1, 8, 8)}, "cpu")[1] is None


def test_a_network_starts_from_weights_that_fit(tmp_path: Path) -> None:
    source = torch.nn.Conv2d(1, 2, 3)
    torch.save(source.state_dict(), tmp_path / "model.pt")
    network = start_network(torch.nn.Conv2d(1, 2, 3), tmp_path / "model.pt", "cpu")
    assert torch.equal(network.weight, source.weight)  # type: ignore[arg-type]
    assert start_network(network, None, "cpu") is network
    with pytest.raises(ValueError, match=r"model\.pt: the weights do not fit the network of network_def"):
        start_network(torch.nn.Conv2d(1, 3, 3), tmp_path / "model.pt", "cpu")
