"""The predictor on a network whose answer is known: native pixels, frames, groups, and what it says about bad input."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from tiny_bundle import FeaturedNet, bright_square, write_bundle, write_typicality

from monai_tavr.cine import Cine, CineError, CineInfo
from monai_tavr.dicom import open_cine
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.label_json import label_to_dict, read_label_json, write_label_json
from monai_tavr.keypoints import TAVR11
from monai_tavr.phantom.generate import generate_dataset
from monai_tavr.postprocess import KeypointPostprocess
from monai_tavr.predictor import KeypointPredictor

PLACES = [(47.5, 31.5), (111.5, 47.5), (207.5, 95.5), (63.5, 63.5), (143.5, 79.5)]
FRAMES = np.stack([bright_square((128, 256), x, y) for x, y in PLACES])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle") / "b", present={"FE1": 0.2}, groups={"anatomical": 0.9})


@pytest.fixture(scope="module")
def predictor(bundle):
    return KeypointPredictor(bundle, device="cpu", batch_size=2)


def test_points_come_back_in_native_pixels_of_a_padded_frame(predictor):
    found = predictor.predict(FRAMES)
    assert [k.frame for k in found] == [0, 1, 2, 3, 4]
    for k, place in zip(found, PLACES, strict=True):
        assert k.xy[k.visible] == pytest.approx(np.tile(place, (10, 1)), abs=0.02)
        assert k.visible.sum() == 10
        assert not k.visible[TAVR11.index("FE1")]
        assert k.score == pytest.approx([0.99] * 9 + [0.2, 0.99], abs=1e-5)
        assert k.spacing is None


def test_one_frame_and_no_batching_change_nothing(bundle, predictor):
    single = predictor.predict(FRAMES[2])
    assert len(single) == 1
    assert single[0].xy == pytest.approx(predictor.predict(FRAMES)[2].xy, nan_ok=True)
    big = KeypointPredictor(bundle, device="cpu", batch_size=64).predict(FRAMES)
    for a, b in zip(big, predictor.predict(FRAMES), strict=True):
        assert a.xy == pytest.approx(b.xy, abs=1e-4, nan_ok=True)


def test_frames_are_chosen_in_the_order_asked(predictor):
    found = predictor.predict(FRAMES, frames=[3, 0, 3])
    assert [k.frame for k in found] == [3, 0, 3]
    assert found[1].xy[0] == pytest.approx(PLACES[0], abs=0.02)
    assert predictor.predict(FRAMES, frames=[]) == []


def test_an_unknown_frame_is_refused_before_anything_is_computed(predictor):
    for frame in (5, -1):
        with pytest.raises(ValueError, match=f"no frame {frame}: the source has frames 0 to 4"):
            predictor.stream(FRAMES, frames=[0, frame])


def test_stream_adds_spread_location_and_groups(predictor):
    first = next(iter(predictor.stream(FRAMES)))
    # 0.1 of 64 network pixels, each 4 native ones
    assert first.spread == pytest.approx(np.full(11, 25.6), rel=1e-5)
    assert first.located[TAVR11.index("FE1")] == pytest.approx(PLACES[0], abs=0.02)
    assert first.group_probability == pytest.approx([0.9, 0.99, 0.99], abs=1e-5)


def test_spread_is_what_goes_beyond_that_of_well_located_points(tmp_path):
    root = write_bundle(tmp_path / "b", thresholds={}, spread_floor=0.08)
    first = next(iter(KeypointPredictor(root, device="cpu").stream(FRAMES)))
    # 0.1 and 0.08 of an input of 64 pixels, each 4 native ones: sqrt(0.1^2 - 0.08^2) = 0.06
    assert first.input_side == 256
    assert first.spread == pytest.approx(np.full(11, 0.06 * 256), rel=1e-4)
    wider = write_bundle(tmp_path / "c", thresholds={}, spread_floor=0.2)
    assert (next(iter(KeypointPredictor(wider, device="cpu").stream(FRAMES))).spread == 0).all()


def test_progress_counts_frames(predictor):
    calls = []
    predictor.predict(FRAMES, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_allowed_groups_are_obeyed_and_can_be_changed_per_call(bundle, predictor):
    only = KeypointPredictor(bundle, device="cpu", allowed_groups=["instrumental"])
    assert only.predict(FRAMES[0])[0].visible.tolist() == [False] * 4 + [True] * 4 + [False] * 3
    assert only.predict(FRAMES[0], allowed_groups=["contour"])[0].visible.sum() == 2
    assert only.predict(FRAMES[0], allowed_groups=None)[0].visible.sum() == 10
    assert only.predict(FRAMES[0], allowed_groups=[])[0].visible.sum() == 0
    with pytest.raises(ValueError, match="unknown group 'valve'"):
        predictor.predict(FRAMES[0], allowed_groups=["valve"])
    with pytest.raises(ValueError, match="unknown group 'valve'"):
        KeypointPredictor(bundle, device="cpu", allowed_groups=["valve"])


def test_a_stage_allows_its_groups(bundle, predictor):
    survey = KeypointPredictor(bundle, device="cpu", stage="survey")
    assert survey.predict(FRAMES[0])[0].visible.tolist() == [True] * 4 + [False] * 7
    assert survey.predict(FRAMES[0], stage="follow-up")[0].visible.tolist() == [True] * 4 + [False] * 4 + [True, False, True]
    assert survey.predict(FRAMES[0], stage="any")[0].visible.sum() == 10
    with pytest.raises(ValueError, match=r"no stage 'lunch'; stages of TAVR11 are \['any', 'survey', 'crossing', 'deployment', "):
        predictor.predict(FRAMES[0], stage="lunch")
    with pytest.raises(ValueError, match=r"stage 'survey' and allowed_groups \['contour'\] are both given"):
        predictor.predict(FRAMES[0], stage="survey", allowed_groups=["contour"])


def test_thresholds_lie_beside_the_weights(tmp_path):
    root = write_bundle(tmp_path / "b", present={"AA1": 0.4, "CT": 0.6}, thresholds={"AA1": 0.3, "CT": 0.7})
    visible = KeypointPredictor(root, device="cpu").predict(FRAMES[0])[0].visible
    assert (visible[TAVR11.index("AA1")], visible[TAVR11.index("CT")]) == (True, False)
    other = tmp_path / "other" / "weights.pt"
    other.parent.mkdir()
    other.write_bytes((root / "models" / "model.pt").read_bytes())
    visible = KeypointPredictor(root, weights=other, device="cpu").predict(FRAMES[0])[0].visible
    assert (visible[TAVR11.index("AA1")], visible[TAVR11.index("CT")]) == (False, True)
    rules = KeypointPostprocess(TAVR11, thresholds=0.995)
    assert not KeypointPredictor(root, device="cpu", postprocess=rules).predict(FRAMES[0])[0].visible.any()


def test_frames_of_another_kind_are_marked_and_predicted_all_the_same(tmp_path):
    root = write_bundle(tmp_path / "b", network=FeaturedNet)
    assert [p.typical for p in KeypointPredictor(root, device="cpu").stream(FRAMES)] == [None] * 5  # nothing was fitted
    write_typicality(root)
    predictor = KeypointPredictor(root, device="cpu", batch_size=2)
    found = list(predictor.stream(FRAMES))
    # the centroid is typical left of 128 of 256 pixels
    assert [p.typical for p in found] == [x < 128 for x, _ in PLACES] == [True, True, False, True, False]
    assert all(p.keypoints.visible.all() for p in found)
    write_xa(tmp_path / "run.dcm", FRAMES)
    label = predictor.predict_label(tmp_path / "run.dcm", frames=[1, 2])
    assert dict(label.typical) == {1: True, 2: False}
    assert [f["typical"] for f in label_to_dict(label)["frames"]] == [True, False]
    assert predictor.describe(FRAMES[:1])[0, :2] == pytest.approx(np.sqrt([48 / 256, (64 + 32) / 256]), abs=1e-3)


def test_what_is_typical_belongs_to_weights_and_to_networks_that_give_their_features(tmp_path):
    root = write_bundle(tmp_path / "b", network=FeaturedNet)
    file = write_typicality(root)
    other = write_bundle(tmp_path / "c", network=FeaturedNet, present={"AA1": 0.7})
    (other / "models" / "typical.npz").write_bytes(file.read_bytes())
    assert next(iter(KeypointPredictor(other, device="cpu").stream(FRAMES))).typical is None
    file.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"typical\.npz: not what `monai-tavr typical` writes"):
        KeypointPredictor(root, device="cpu")
    plain = write_bundle(tmp_path / "d")
    with pytest.raises(ValueError, match="its network, CentroidNet, gives no features"):
        KeypointPredictor(plain, device="cpu").describe(FRAMES)


def test_a_dicom_cine_gives_a_signed_label(tmp_path, predictor):
    header = XAHeader(imager_spacing=0.4, source_detector_mm=1000.0, source_patient_mm=750.0)
    write_xa(tmp_path / "run.dcm", FRAMES, header=header)
    label = predictor.predict_label(tmp_path / "run.dcm", frames=[4, 1, 1])
    assert [k.frame for k in label.frames] == [1, 4]
    assert label.frames[0].xy[0] == pytest.approx(PLACES[1], abs=0.02)
    # 0.4 mm at the detector, magnified 1000 / 750 times
    assert label.frames[0].spacing == pytest.approx((0.3, 0.3))
    assert (label.image.rows, label.image.columns, label.image.number_of_frames) == (128, 256, 5)
    # 0.1 of 64 network pixels, each 4 native ones; FE1 is absent
    assert label.spread[4, "CT"] == pytest.approx(25.6, rel=1e-5)
    assert (4, "FE1") not in label.spread
    edit = label.edits[1, "AA1"]
    assert (edit.source, edit.time) == ("model", None)
    assert edit.author == f"monai-tavr 0.1.0 model 9.8.7 ({predictor.weights_sha256[:12]})"
    write_label_json(tmp_path / "run.json", label)
    assert label_to_dict(read_label_json(tmp_path / "run.json")) == label_to_dict(label)


def test_a_cine_is_decoded_a_batch_ahead_and_in_another_thread(predictor):
    read: list[tuple[int, bool]] = []

    def load(index: int) -> np.ndarray:
        read.append((index, threading.current_thread() is threading.main_thread()))
        return FRAMES[index].astype(np.float32)

    info = CineInfo(path="x", rows=128, columns=256, number_of_frames=5, spacing=(0.2, 0.2))
    stream = iter(predictor.stream(Cine(info, load)))
    assert next(stream).keypoints.spacing == (0.2, 0.2)
    rest = list(stream)
    assert len(rest) == 4
    assert sorted(index for index, _ in read) == [0, 1, 2, 3, 4]
    assert not any(main for _, main in read)


def test_a_damaged_frame_is_an_error_and_not_a_gap(predictor):
    def load(index: int) -> np.ndarray:
        if index == 3:
            raise CineError("run.dcm", "frame 3 is damaged")
        return FRAMES[index].astype(np.float32)

    info = CineInfo(path="run.dcm", rows=128, columns=256, number_of_frames=5)
    with pytest.raises(CineError, match="frame 3 is damaged"):
        predictor.predict(Cine(info, load))


def test_a_black_frame_gives_numbers(predictor):
    assert np.isfinite(predictor.predict(np.zeros((32, 32)))[0].score).all()


@pytest.mark.parametrize("shape", [(0, 4, 4), (4,), (1, 2, 3, 4)])
def test_arrays_of_other_shapes_are_refused(predictor, shape):
    with pytest.raises(ValueError, match=r"frames must be an array \(F, H, W\) or \(H, W\)"):
        predictor.predict(np.zeros(shape))


def test_a_missing_file_is_named(predictor, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.dcm"):
        predictor.predict(tmp_path / "nowhere.dcm")


def test_bf16_moves_points_little(bundle):
    exact = KeypointPredictor(bundle, device="cpu").predict(FRAMES)
    fast = KeypointPredictor(bundle, device="cpu", precision="bf16")
    assert fast.precision == "bf16"
    for a, b in zip(exact, fast.predict(FRAMES), strict=True):
        assert b.xy == pytest.approx(a.xy, abs=2.0, nan_ok=True)


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_the_fastest_precision_is_the_processors_own(bundle, monkeypatch, native, precision):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert KeypointPredictor(bundle, device="cpu", precision="auto").precision == precision
    assert KeypointPredictor(bundle, device="cpu").precision == "fp32"


def test_threads_are_left_alone(bundle):
    before = torch.get_num_threads()
    KeypointPredictor(bundle, device="cpu").predict(FRAMES[0])
    assert torch.get_num_threads() == before


def test_settings_are_checked(bundle):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        KeypointPredictor(bundle, batch_size=0)
    with pytest.raises(ValueError, match="precision must be auto, fp32 or bf16, got 'int8'"):
        KeypointPredictor(bundle, precision="int8")
    with pytest.raises(ValueError, match="no device 'abacus'"):
        KeypointPredictor(bundle, device="abacus")


@pytest.mark.slow
def test_the_points_of_the_shipped_model_do_not_depend_on_how_a_cine_is_stored(tmp_path):
    raw = {}
    for bits, syntax in ((8, "explicit-le"), (12, "jpeg2000-lossless")):
        made = generate_dataset(
            tmp_path / syntax, preset="tiny", patients=1, size=256, bits=bits, syntax=syntax, workers=1, progress=False
        )
        raw[syntax] = made.parent / "P000" / "C01.dcm"
    frames = open_cine(raw["explicit-le"]).frames([0, 1])
    write_xa(tmp_path / "lossless.dcm", frames.astype(np.uint8), syntax="jpeg-lossless")
    shipped = KeypointPredictor(device="cpu")
    places = (raw["explicit-le"], tmp_path / "lossless.dcm", raw["jpeg2000-lossless"])
    for exact, lossless, deep in zip(*(list(shipped.stream(path, frames=[0, 1])) for path in places), strict=True):
        a, b, c = (p.keypoints for p in (exact, lossless, deep))
        assert a.visible.sum() >= 3
        np.testing.assert_array_equal(a.xy, b.xy)
        np.testing.assert_array_equal(a.score, b.score)
        # grey levels sixteen times finer, but the same picture: half a pixel, or the doubt of a point that the model hardly finds
        np.testing.assert_array_equal(a.visible, c.visible)
        apart = np.linalg.norm(a.xy - c.xy, axis=1)[a.visible]
        assert (apart <= np.maximum(0.5, exact.spread[a.visible])).all()
        assert np.median(apart) < 0.1
