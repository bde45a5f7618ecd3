"""Overlays: what is drawn where, in which colour and strength, and files that players can open."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from monai_tavr.drawing.label_layout import place_labels
from monai_tavr.drawing.overlay import (
    contact_sheet,
    display_window,
    draw_overlay,
    frame_rate,
    to_display,
    write_gif,
    write_mp4,
    write_png,
)
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema

GREY = np.full((200, 300), 90, np.uint8)
SCHEMA = KeypointSchema(
    name="TWO",
    groups={"red": ("A", "B"), "blue": ("C",)},
    colors={"red": "#ff0000", "blue": "#0000ff"},
    titles={"blue": "The blue one"},
    skeleton=(("A", "B"),),
)


def keypoints(score=None, spacing=None, **points):
    k = Keypoints.from_points(SCHEMA, {"A": None, "B": None, "C": None} | points, spacing=spacing)
    return k if score is None else replace(k, score=score)


def reddish(picture):
    r, g, b = (picture[..., i].astype(int) for i in range(3))
    return (r > g + 60) & (r > b + 60)


def white(picture):
    return (picture > 230).all(-1)


def test_the_mark_lies_on_its_point_in_its_groups_colour():
    picture = draw_overlay(GREY, keypoints(A=(100, 60)))
    assert picture.shape == (200, 300, 3)
    assert picture.dtype == np.uint8
    assert tuple(picture[60, 100]) == (255, 0, 0)
    ys, xs = np.nonzero(reddish(picture)[40:81, 80:108])  # without the name at its right
    assert xs.mean() + 80 == pytest.approx(100, abs=0.5)
    assert ys.mean() + 40 == pytest.approx(60, abs=0.5)


def test_zoom_keeps_pixel_centres():
    picture = draw_overlay(GREY, keypoints(A=(100, 60)), zoom=4)
    assert picture.shape == (800, 1200, 3)
    # the centre of pixel 100 of 4-fold size is (100.5 * 4) - 0.5
    assert tuple(picture[242, 402]) == (255, 0, 0)
    ys, xs = np.nonzero(reddish(picture)[200:280, 360:418])
    assert xs.mean() + 360 == pytest.approx(401.5, abs=0.5)
    assert ys.mean() + 200 == pytest.approx(241.5, abs=0.5)


def test_absent_points_are_not_drawn_and_their_groups_are_listed():
    nothing = draw_overlay(GREY, keypoints())
    assert not reddish(nothing)[:150].any()
    bottom = nothing[150:]
    assert (bottom[..., 2].astype(int) > bottom[..., 0] + 60).any()  # "absent: The blue one" in blue
    unlabelled = draw_overlay(GREY, Keypoints.from_points(SCHEMA, {}))
    assert (unlabelled == 90).all()


def test_a_doubtful_frame_says_so_below_its_title():
    plain = draw_overlay(GREY, Keypoints.from_points(SCHEMA, {}), title="frame 3")
    assert (draw_overlay(GREY, Keypoints.from_points(SCHEMA, {}), title="frame 3", typical=True) == plain).all()
    doubtful = draw_overlay(GREY, Keypoints.from_points(SCHEMA, {}), title="frame 3", typical=False)
    changed = np.flatnonzero((doubtful != plain).any(axis=(1, 2)))
    # letters of 9 pixels: the title in rows 3 to 16, the words in the next line
    assert (changed.min() > 14, changed.max() < 34) == (True, True)
    amber = (doubtful[..., 0] > 200) & (doubtful[..., 2] < 120)
    assert amber.sum() > 100


def test_the_skeleton_joins_visible_points_only():
    both = draw_overlay(GREY, keypoints(A=(60, 100), B=(240, 100)))
    assert reddish(both)[100, 150]
    one = draw_overlay(GREY, keypoints(A=(60, 100)))
    assert not reddish(one)[100, 150]


@pytest.mark.parametrize(
    ("score", "spread", "faint"),
    [(0.9, None, False), (0.6, None, True), (0.9, [20, 0, 0], True), (0.9, [3, np.nan, 0], False), (None, None, False)],
)
def test_uncertain_points_are_faint(score, spread, faint):
    k = keypoints(score=None if score is None else [score, 0.1, 0.1], A=(100, 60))
    picture = draw_overlay(GREY, k, spread=None if spread is None else np.array(spread, float))
    red = int(picture[60, 100, 0])
    assert red == (pytest.approx(90 + 0.4 * (255 - 90), abs=2) if faint else 255)


def test_uncertainty_follows_the_points_own_threshold():
    k = keypoints(score=[0.6, 0.1, 0.1], A=(100, 60))
    assert draw_overlay(GREY, k, thresholds={"A": 0.2})[60, 100, 0] == 255
    assert draw_overlay(GREY, k, thresholds=0.55)[60, 100, 0] < 200
    # close to 1 the margin shrinks, or nothing could be certain
    k = keypoints(score=[0.98, 0.1, 0.1], A=(100, 60))
    assert draw_overlay(GREY, k, thresholds=0.95)[60, 100, 0] == 255


def test_the_spread_is_a_circle_of_its_radius():
    picture = draw_overlay(GREY, keypoints(A=(100, 60)), spread=np.array([8.0, 0, 0]))
    assert reddish(picture)[68, 100]
    assert reddish(picture)[52, 100]
    assert not reddish(draw_overlay(GREY, keypoints(A=(100, 60))))[68, 100]


def test_truth_is_a_white_cross_joined_to_the_prediction():
    picture = draw_overlay(GREY, keypoints(A=(100, 60)), truth=keypoints(A=(160, 60)))
    assert tuple(picture[60, 160]) == (255, 255, 255)
    assert white(picture)[60, 140]
    missed = draw_overlay(GREY, keypoints(), truth=keypoints(A=(160, 60)))
    assert tuple(missed[60, 160]) == (255, 255, 255)
    assert reddish(missed)[50:71, 165:260].any()  # "A missed"


def test_the_scale_bar_is_ten_millimetres():
    for spacing, zoom in ((0.5, 1), (0.25, 2)):
        picture = draw_overlay(GREY, keypoints(spacing=(spacing, spacing), A=(20, 20)), zoom=zoom)
        runs = white(picture)[int(200 * zoom * 0.95) :].sum(1)
        assert runs.max() == 10 / spacing * zoom
    assert not white(draw_overlay(GREY, keypoints(A=(20, 20))))[180:].any()
    too_long = draw_overlay(GREY, keypoints(spacing=(0.05, 0.05), A=(20, 20)))
    assert not white(too_long)[180:].any()


def test_the_frame_is_not_changed():
    frame = GREY.copy()
    draw_overlay(frame, keypoints(A=(100, 60)), title="frame 1")
    assert (frame == 90).all()


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"one frame \(H, W\) and a zoom >= 1, got shape \(1, 200, 300\)"):
        draw_overlay(GREY[None], keypoints())
    with pytest.raises(ValueError, match="and 0"):
        draw_overlay(GREY, keypoints(), zoom=0)


def test_grey_levels_are_windowed_once_for_all_frames():
    frames = np.stack([np.full((20, 20), 100.0), np.full((20, 20), 300.0)])
    assert display_window(frames) == (100, 300)
    shown = to_display(frames)
    assert (shown[0] == 0).all()
    assert (shown[1] == 255).all()
    assert (to_display(frames[:1] * 0 + 200.0, window=(100, 300)) == 127).all()
    assert (to_display(np.full((4, 4), 7.0)) == 0).all()
    assert to_display(GREY) is GREY


def test_labels_cover_neither_points_nor_one_another():
    rng = np.random.default_rng(0)
    points = rng.uniform(180, 320, (11, 2))
    sizes = [(70.0, 14.0)] * 11
    corners = place_labels(points, sizes, area=(512, 512), radius=7)
    boxes = np.concatenate([corners, corners + sizes], axis=1)
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            width = min(a[2], b[2]) - max(a[0], b[0])
            height = min(a[3], b[3]) - max(a[1], b[1])
            assert min(width, height) <= 0 or width * height < 0.25 * 70 * 14
    assert np.linalg.norm(corners + np.array([35, 7]) - points, axis=1).max() < 80


def test_labels_stay_inside():
    corners = place_labels(np.array([[510, 510], [1, 1]]), [(60, 14), (60, 14)], area=(512, 512), radius=6)
    assert (corners >= 0).all()
    assert (corners + np.array([60, 14]) <= 512).all()
    assert place_labels(np.empty((0, 2)), [], area=(10, 10), radius=1).shape == (0, 2)


def test_a_lone_label_stands_at_the_right():
    corner = place_labels(np.array([[100, 100]]), [(40, 10)], area=(512, 512), radius=6)[0]
    assert corner.tolist() == [108, 95]


def test_a_contact_sheet_is_in_reading_order():
    pictures = [np.full((10, 20, 3), v, np.uint8) for v in (50, 100, 150)]
    sheet = contact_sheet([*pictures[:2], np.full((20, 40, 3), 150, np.uint8)], columns=2, gap=2)
    assert sheet.shape == (22, 42, 3)
    assert (sheet[5, 5, 0], sheet[5, 30, 0], sheet[15, 5, 0]) == (50, 100, 150)
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])


def test_frame_rate_is_the_cines():
    assert frame_rate(np.array([0, 66.7, 133.3, 200])) == pytest.approx(15, abs=0.1)
    assert frame_rate(np.array([0, 100, 200, 1200, 1300])) == pytest.approx(10)  # a pause does not count
    assert frame_rate(None) == frame_rate(np.array([0.0])) == frame_rate(np.zeros(3)) == 15.0


@pytest.fixture(scope="module")
def film():
    return [np.full((31, 41, 3), v, np.uint8) for v in (20, 120, 220, 120)]


def test_gif_has_every_frame_and_its_time(tmp_path, film):
    write_gif(tmp_path / "deep" / "a.gif", film, fps=8)
    with Image.open(tmp_path / "deep" / "a.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"], gif.info["loop"]) == (4, (41, 31), 120, 0)
        gif.seek(2)
        assert gif.convert("L").getpixel((5, 5)) == pytest.approx(220, abs=2)


def test_mp4_has_every_frame_and_even_sides(tmp_path, film):
    write_mp4(tmp_path / "a.mp4", film, fps=7.5)
    film = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert film.get(cv2.CAP_PROP_FPS) == 7.5
    frames = []
    while (frame := film.read()[1]) is not None:
        frames.append(frame)
    assert [f.shape for f in frames] == [(32, 42, 3)] * 4
    assert [int(f.mean()) for f in frames] == pytest.approx([20, 120, 220, 120], abs=6)


def test_png_is_exact(tmp_path):
    picture = draw_overlay(GREY, keypoints(A=(100, 60)))
    write_png(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as image:
        assert (np.array(image) == picture).all()


@pytest.mark.parametrize("write", [write_gif, write_mp4])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, write):
    path = tmp_path / "a.film"
    path.write_text("old")

    def broken():
        raise OSError("unreadable")
        yield

    for pictures, error in ((broken(), OSError), ([], ValueError)):
        with pytest.raises(error):
            write(path, pictures, fps=10)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_papers_colours():
    places = {n: (20 + 40 * (i % 4), 20 + 40 * (i // 4)) for i, n in enumerate(TAVR11.names)}
    picture = draw_overlay(np.zeros((140, 200), np.uint8), Keypoints.from_points(TAVR11, places))
    strongest = {n: int(np.argmax(picture[y, x])) for n, (x, y) in places.items()}
    assert {TAVR11.group_of(n): c for n, c in strongest.items()} == {"anatomical": 0, "instrumental": 1, "contour": 2}
