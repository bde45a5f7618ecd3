"""The pure modules of the viewer, run by Chromium's engine: the document of an annotator, interpolation, drafts, keys' names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bench_page import bench_page
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser]

# what every script below begins with: a document of 10 frames of 100 x 80 pixels, two groups of two points
_BEGIN = """
const {LabelDocument} = await import('/viewer/document/document.js');
const {Schema, isUncertain, portions} = await import('/viewer/document/points.js');
const schema = new Schema({name: 'T', groups: {a: {points: ['A1', 'A2']}, b: {points: ['B1', 'B2']}}});
const image = {rows: 80, columns: 100, number_of_frames: 10};
const make = () => {
  const made = new LabelDocument({schema, image, frameCount: 10, now: () => new Date('2026-01-31T12:00:00Z')});
  made.author = 'anna';
  return made;
};
const doc = make();
const at = (x, y) => ({x, y, state: 'visible', score: 0.9, source: 'model', author: 'net'});
const gone = {state: 'absent', score: 0.1, source: 'model', author: 'net'};
const four = {A1: at(10, 20), A2: at(30, 40), B1: gone, B2: gone};
const guess = (...frames) => ({frames: frames.map(frame => ({frame, points: four}))});
const label = (frames) => ({frames: Object.entries(frames).map(([frame, points]) => ({frame: Number(frame), points}))});
const state = frame => Object.fromEntries(schema.names.map(n => [n, doc.points(frame)[n]?.state ?? 'unlabelled']));
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with bench_page() as opened:
        yield opened


def run(page: Page, script: str) -> Any:
    return page.evaluate(f"async () => {{ {_BEGIN} {script} }}")


def test_the_three_states_never_blur(page: Page) -> None:
    states, label = run(
        page,
        """
        doc.place(3, 'A1', 1.23456, 2);
        doc.markAbsent(3, 'A2');
        doc.place(3, 'B1', 5, 5);
        doc.delete(3, 'B1');
        return [state(3), doc.toLabel()];
        """,
    )
    assert states == {"A1": "visible", "A2": "absent", "B1": "unlabelled", "B2": "unlabelled"}
    who = {"source": "annotator", "author": "anna", "time": "2026-01-31T12:00:00.000Z"}
    points = {"A1": {"x": 1.235, "y": 2, "state": "visible", **who}, "A2": {"state": "absent", **who}}
    assert label == {
        "schema": "monai-tavr/keypoints/1",
        "keypoints": "T",
        "image": {"rows": 80, "columns": 100, "number_of_frames": 10},
        "frames": [{"frame": 3, "points": points}],
    }


def test_a_frame_that_nobody_touched_is_no_label_however_well_predicted(page: Page) -> None:
    found = run(
        page,
        """
        doc.addPrediction(guess(0, 1, 2));
        doc.acceptFrames([1]);
        const labels = doc.toLabel().frames.map(f => f.frame);
        return [labels, [0, 1, 5].map(f => doc.status(f)), doc.suggestedFrames(), doc.changedFrames()];
        """,
    )
    assert found == [[1], ["predicted", "edited", "empty"], [0, 2], [1]]


def test_a_doubt_about_a_frame_lasts_until_the_model_or_a_person_settles_it(page: Page) -> None:
    found = run(
        page,
        """
        const said = typical => ({frames: [0, 1].map(frame => ({frame, typical: typical[frame], points: four}))});
        const unsure = () => [0, 1, 2].map(f => doc.isUnsure(f));
        doc.addPrediction(said([false, false]));
        const seen = [unsure()];
        doc.acceptFrames([0]);
        seen.push(unsure());
        doc.addPrediction(said([undefined, true]));
        return [...seen, unsure(), 'typical' in doc.toLabel().frames[0]];
        """,
    )
    assert found == [[True, True, False], [False, True, False], [False, False, False], False]


def test_correcting_one_point_takes_the_others_of_the_frame_along(page: Page) -> None:
    """Whoever corrects one of four points has looked at the four; suggestions that come later were not looked at."""
    before, after, sources = run(
        page,
        """
        doc.place(4, 'A1', 1, 1);
        doc.addPrediction(guess(4), {everywhere: true});
        const before = Object.keys(doc.submittable(4));
        doc.place(4, 'A1', 2, 2);
        const sent = doc.toLabel().frames[0].points;
        return [before, Object.keys(sent), Object.values(sent).map(p => p.source)];
        """,
    )
    assert before == ["A1"]
    assert after == ["A1", "A2", "B1", "B2"]
    assert sources == ["annotator", "model", "model", "model"]


def test_predictions_leave_alone_what_a_person_stands_for(page: Page) -> None:
    found = run(
        page,
        """
        doc.place(0, 'A1', 1, 1);
        doc.markAbsent(0, 'A2');
        doc.addPrediction(guess(0, 1));
        const series = state(0);
        doc.addPrediction(guess(0), {everywhere: true});
        return [series, state(0), doc.points(0).A1.x, doc.points(1).A1.x];
        """,
    )
    untouched = {"A1": "visible", "A2": "absent", "B1": "unlabelled", "B2": "unlabelled"}
    assert found == [untouched, {**untouched, "B1": "absent", "B2": "absent"}, 1, 10]


def test_points_stay_inside_the_image(page: Page) -> None:
    found = run(page, "doc.place(0, 'A1', -7, 500); return [doc.points(0).A1.x, doc.points(0).A1.y];")
    assert found == [0, 79]


def test_undo_goes_back_to_the_beginning_and_redo_to_the_end(page: Page) -> None:
    counts, back, again, none = run(
        page,
        """
        const steps = 300;
        for (let i = 0; i < steps; i++) doc.place(i % 10, 'A1', i % 97, 1);
        doc.markGroupAbsent(2, 'b');
        const end = JSON.stringify(doc.toLabel());
        let undone = 0;
        while (doc.undo()) undone++;
        const empty = doc.toLabel().frames;
        let redone = 0;
        while (doc.redo()) redone++;
        return [[undone, redone], empty, JSON.stringify(doc.toLabel()) === end, doc.redo()];
        """,
    )
    assert counts == [301, 301]
    assert (back, again, none) == ([], True, None)


def test_a_drag_is_one_step_and_a_new_step_ends_redo(page: Page) -> None:
    found = run(
        page,
        """
        doc.place(0, 'A1', 10, 10);
        doc.beginDrag('A1');
        for (let x = 11; x <= 50; x++) doc.place(0, 'A1', x, 10);
        doc.endDrag();
        const words = doc.undoable;
        const step = doc.undo();
        const x = doc.points(0).A1.x;
        doc.markAbsent(1, 'A1');
        return [words, step, x, doc.redoable];
        """,
    )
    assert found == ["Move A1", {"words": "Move A1", "frames": [0]}, 10, None]


def test_undo_of_an_edit_keeps_predictions_that_came_since(page: Page) -> None:
    found = run(
        page,
        """
        doc.place(0, 'A1', 1, 1);
        doc.addPrediction(guess(0), {everywhere: true});
        doc.undo();
        return [state(0), doc.isLabel(0)];
        """,
    )
    assert found == [{"A1": "unlabelled", "A2": "visible", "B1": "absent", "B2": "absent"}, False]


def test_interpolation_lies_on_the_line_and_says_nothing_where_the_ends_disagree(page: Page) -> None:
    points, status, undone = run(
        page,
        """
        doc.place(2, 'A1', 10, 20); doc.place(6, 'A1', 50, 40);
        doc.place(2, 'A2', 1, 1); doc.markAbsent(6, 'A2');
        doc.markAbsent(2, 'B1'); doc.markAbsent(6, 'B1');
        doc.interpolate(doc.gaps());
        const found = [3, 4, 5].map(f => [doc.points(f).A1.x, doc.points(f).A1.y, state(f).A2, state(f).B1, state(f).B2]);
        const status = [3, 6].map(f => doc.status(f));
        doc.undo();
        return [found, status, Object.keys(doc.points(4))];
        """,
    )
    others = ["unlabelled", "absent", "unlabelled"]
    assert points == [[20, 25, *others], [30, 30, *others], [40, 35, *others]]
    assert status == ["tracked", "edited"]
    assert undone == []


def test_gaps_lie_between_neighbouring_labelled_frames(page: Page) -> None:
    assert run(page, "for (const f of [9, 0, 1, 5]) doc.place(f, 'A1', 1, 1); return doc.gaps();") == [[1, 5], [5, 9]]


def test_tracked_frames_wait_for_review_and_are_one_step(page: Page) -> None:
    found = run(
        page,
        """
        doc.addPrediction(guess(0, 1, 2, 3, 4, 5));
        doc.acceptFrames([0]); doc.acceptFrames([5]);
        const tracked = Object.fromEntries([1, 2, 3, 4, 5].map(f => [f, {A1: at(f === 5 ? 99 : 10 + f, 1)}]));
        doc.applyTracked([label(tracked)]);
        const seen = [1, 4, 5].map(f => [doc.points(f).A1.x, doc.status(f)]);
        doc.addPrediction(guess(0, 1, 2, 3, 4, 5));
        const kept = doc.points(2).A1.x;
        doc.acceptFrames(doc.suggestedFrames());
        const accepted = doc.toLabel().frames.length;
        doc.undo(); doc.undo();
        return [seen, kept, accepted, doc.points(2).A1.x];
        """,
    )
    assert found == [[[11, "tracked"], [14, "tracked"], [10, "edited"]], 12, 6, 10]


def test_a_copy_is_a_suggestion(page: Page) -> None:
    found = run(
        page,
        """
        doc.place(0, 'A1', 7, 8); doc.markAbsent(0, 'A2');
        doc.place(1, 'A2', 3, 3);
        doc.copyFrom(1, 0);
        const copied = [doc.points(1).A1.x, doc.points(1).A1.confirmed, doc.points(1).A2.x];
        const taken = Object.keys(doc.submittable(1));
        doc.acceptFrames([1]);
        return [copied, taken, Object.keys(doc.submittable(1)), doc.points(1).A1.source];
        """,
    )
    assert found == [[7, False, 3], ["A2"], ["A2", "A1"], "annotator"]


def test_after_a_submit_nothing_is_left_to_submit(page: Page) -> None:
    found = run(
        page,
        """
        doc.addPrediction(guess(0, 1));
        doc.place(0, 'A1', 1, 1);
        doc.submitted(doc.toLabel(), 3);
        const after = [doc.version, doc.changedFrames(), doc.status(0), doc.status(1), doc.draft()];
        doc.undo();
        return [after, doc.status(0), Object.keys(doc.submittable(0)).length];
        """,
    )
    assert found == [[3, [], "labelled", "predicted", None], "edited", 4]


def test_a_label_that_is_emptied_is_taken_back(page: Page) -> None:
    found = run(
        page,
        """
        doc.load(label({4: {A1: {state: 'absent', source: 'annotator'}}}), 2);
        const before = [doc.status(4), doc.changedFrames()];
        doc.delete(4, 'A1');
        return [before, doc.status(4), doc.changedFrames(), doc.toLabel().frames];
        """,
    )
    assert found == [["labelled", []], "edited", [4], []]


def test_a_newer_label_is_merged_by_frame(page: Page) -> None:
    """Frame 0: both changed; 1: only I; 2: only they; 3: both, alike; 4: they took it back, I did not touch it."""
    conflicts, mine, theirs, changed, undone = run(
        page,
        """
        const old = Object.fromEntries([0, 1, 2, 3, 4].map(f => [f, {A1: at(f, 0)}]));
        doc.load(label(old), 1);
        for (const f of [0, 1, 3]) doc.place(f, 'A1', 50 + f, 50);
        const newer = {...old, 0: {A1: at(70, 70)}, 2: {A1: at(72, 70)}, 3: {A1: at(53, 50)}};
        delete newer[4];
        const conflicts = doc.rebase(label(newer), 2);
        const xs = () => [0, 1, 2, 3, 4].map(f => doc.points(f).A1?.x ?? null);
        const mine = xs();
        doc.takeTheirs(conflicts);
        const theirs = xs();
        const changed = doc.changedFrames();
        doc.undo();
        return [conflicts, mine, theirs, changed, [xs()[0], doc.version]];
        """,
    )
    assert conflicts == [0]
    assert mine == [50, 51, 72, 53, None]
    assert theirs == [70, 51, 72, 53, None]
    assert changed == [1]
    assert undone == [50, 2]


def test_a_draft_comes_back_and_tells_what_changed_below_it(page: Page) -> None:
    found = run(
        page,
        """
        const {Drafts} = await import('/viewer/document/drafts.js');
        const drafts = new Drafts(sessionStorage);
        const server = label({0: {A1: at(1, 1)}, 1: {A1: at(2, 2)}});
        doc.load(server, 1);
        doc.addPrediction(guess(5, 6));
        doc.place(1, 'A1', 9, 9); doc.place(5, 'A2', 33, 33);
        drafts.keep('1.2.3', 'anna', doc.draft());
        const strangers = [drafts.read('1.2.3', 'bert'), drafts.read('1.2', 'anna'), drafts.frames('anna')];
        const draft = drafts.read('1.2.3', 'anna');
        const again = make();
        again.load(server, 1);
        const same = again.restore(draft);
        const late = make();
        late.load(label({0: {A1: at(1, 1)}, 1: {A1: at(3, 3)}}), 2);
        const other = late.restore(draft);
        drafts.keep('1.2.3', 'anna', null);
        const equal = JSON.stringify(again.toLabel()) === JSON.stringify(doc.toLabel());
        return [strangers, draft.frames.map(f => f.frame), same, other, equal,
                again.status(6), late.points(1).A1.x, drafts.read('1.2.3', 'anna')];
        """,
    )
    frames = [{"id": "1.2.3", "frame": 1}, {"id": "1.2.3", "frame": 5}]
    assert found == [[None, None, frames], [1, 5], [], [1], True, "empty", 9, None]


def test_a_full_or_damaged_browser_storage_is_no_disaster(page: Page) -> None:
    found = run(
        page,
        """
        const {Drafts} = await import('/viewer/document/drafts.js');
        const setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };
        const full = {setItem, getItem: () => '{"frames": 3', removeItem() {}};
        const drafts = new Drafts(full);
        return [drafts.keep('1', 'anna', {frames: []}), drafts.read('1', 'anna')];
        """,
    )
    assert found == [False, None]


def test_prediction_begins_where_the_reader_looks(page: Page) -> None:
    order, unsure = run(
        page,
        """
        const points = [[0.74, 'visible'], [0.76, 'visible'], [0.26, 'absent'], [0.24, 'absent'], [undefined, 'visible']];
        return [portions(20, 9, 8), points.map(([score, state]) => isUncertain({score, state}, 0.75))];
        """,
    )
    assert order == [list(range(8, 16)), list(range(16, 20)), list(range(8))]
    assert unsure == [True, False, True, False, False]


def test_marks_say_what_is_drawn(page: Page) -> None:
    marks, near = run(
        page,
        """
        const {marksOf, nearest} = await import('/viewer/document/marks.js');
        const unsure = {...at(10, 10), score: 0.5, spread: 6};
        doc.addPrediction(label({0: {A1: unsure, A2: gone, B1: {...at(14, 10), spread: 3}}}));
        doc.place(0, 'B2', 60, 60);
        const marks = marksOf(doc.points(0), {schema, uncertainBelow: 0.75, selected: 'B1'});
        return [marks.map(m => [m.name, m.shape, m.spread, m.confirmed, m.dimmed, m.selected]),
                [[11, 10], [13, 10], [40, 40]].map(([x, y]) => nearest(marks, x, y, 8)?.name ?? null)];
        """,
    )
    assert marks == [
        ["A1", "circle", 6, False, True, False],
        ["B1", "square", 3, False, False, True],
        ["B2", "square", None, True, False, False],
    ]
    assert near == ["A1", "B1", None]


def test_no_key_has_two_meanings_at_once(page: Page) -> None:
    """Keys that stand twice: one of the two needs something that rules the other out."""
    repeated = run(
        page,
        """
        const {COMMANDS} = await import('/viewer/session/commands.js');
        const keys = COMMANDS.flatMap(c => c.keys);
        const twice = [...new Set(keys.filter((key, i) => keys.indexOf(key) !== i))];
        return Object.fromEntries(twice.map(key => [key, COMMANDS.filter(c => c.keys.includes(key)).map(c => c.id)]));
        """,
    )
    assert repeated == {
        "Escape": ["stop", "leave"],  # a running prediction first
        "ArrowLeft": ["nudge-ArrowLeft", "previous"],  # of the chosen point, else of the frames
        "ArrowRight": ["nudge-ArrowRight", "following"],
    }
