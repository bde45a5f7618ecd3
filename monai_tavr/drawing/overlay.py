"""Pictures of keypoints over the frame they lie on: stills, contact sheets, GIF and MP4 of a cine.

Colours are the paper's, one per group, from the schema; a second cue, the shape of the mark, serves readers who cannot tell them
apart. What is uncertain (probability close to its threshold, or a wide spread) is drawn faint. Groups without a point are listed,
so that absence is stated and not only seen. In truth mode the annotator's point is a white cross, joined to the prediction.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import cv2
import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from monai_tavr.drawing.label_layout import place_labels
from monai_tavr.files import replacing, replacing_path
from monai_tavr.keypoints import Keypoints, KeypointState

__all__ = [
    "NOT_SURE",
    "contact_sheet",
    "display_window",
    "draw_overlay",
    "frame_rate",
    "to_display",
    "write_gif",
    "write_mp4",
    "write_png",
]

Color = tuple[int, int, int]

_FAINT = 0.4  # opacity of what is uncertain
_MARGIN = 0.15  # a probability this close above its threshold is uncertain
_WIDE_SPREAD = 0.03  # of the image's longer side: 15 pixels at 512
_SHIFT = 4  # OpenCV's fixed-point bits: marks lie on sub-pixel places
_WHITE: Color = (255, 255, 255)
_WARNING: Color = (255, 196, 64)
_SCALE_BAR_MM = 10.0

NOT_SURE = "Model not sure this is a TAVR frame"
"""What pictures and programs say of a frame that is not typical."""


def display_window(frames: np.ndarray, *, quantiles: tuple[float, float] = (0.002, 0.998)) -> tuple[float, float]:
    """Grey levels to show as black and white: one window for a cine, so that it does not flicker.

    Args:
        frames: (..., H, W) grey levels of some of its frames.
        quantiles: shares of the pixels that lie below black and below white.

    Returns:
        The two grey levels; 0 and 255 for uint8.
    """
    if np.asarray(frames).dtype == np.uint8:
        return 0.0, 255.0
    low, high = np.quantile(np.asarray(frames)[..., ::2, ::2], quantiles)
    return float(low), float(high)


def to_display(frames: np.ndarray, *, window: tuple[float, float] | None = None) -> np.ndarray:
    """Grey levels as 8 bits for the screen.

    Args:
        frames: (..., H, W) grey levels.
        window: grey levels of black and white; None = by :func:`display_window`.

    Returns:
        (..., H, W) uint8 grey levels.
    """
    low, high = window if window is not None else display_window(frames)
    if np.asarray(frames).dtype == np.uint8 and (low, high) == (0.0, 255.0):
        return np.asarray(frames)
    return np.clip((np.asarray(frames, np.float32) - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)


def _rgb(color: str) -> Color:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _fixed(values: np.ndarray) -> np.ndarray:
    """Sub-pixel places as OpenCV's fixed-point whole numbers."""
    return np.round(np.asarray(values, float) * (1 << _SHIFT)).astype(np.int32)


def _circle(target: np.ndarray, centre: np.ndarray, radius: float, color: Color, width: int) -> None:
    cv2.circle(target, _fixed(centre).tolist(), round(radius * (1 << _SHIFT)), color, width, cv2.LINE_AA, _SHIFT)


class _Canvas:
    """A red-green-blue picture of a frame, enlarged by ``zoom``; places are given in pixels of the frame."""

    def __init__(self, frame: np.ndarray, zoom: int) -> None:
        grey = to_display(frame)
        if zoom > 1:
            grey = cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        self.pixels, self.zoom = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), zoom
        unit = max(grey.shape) / 640
        self.radius, self.width, self.text_height = max(4.0, 5.5 * unit), max(1, round(1.5 * unit)), max(9.0, 11.5 * unit)

    def place(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) frame pixels to canvas pixels; 0 is the centre of the first pixel in both."""
        return (np.asarray(xy, float) + 0.5) * self.zoom - 0.5

    def line(self, a: np.ndarray, b: np.ndarray, color: Color, *, opacity: float = 1.0) -> None:
        target = self._layer(opacity)
        ends = _fixed(self.place(np.stack([a, b]))).tolist()
        cv2.line(target, ends[0], ends[1], color, max(1, self.width - 1), cv2.LINE_AA, _SHIFT)
        self._blend(target, opacity)

    def ring(self, xy: np.ndarray, radius: float, color: Color, *, opacity: float = 1.0) -> None:
        """A thin circle; ``radius`` in pixels of the frame."""
        target = self._layer(opacity)
        _circle(target, self.place(xy), radius * self.zoom, color, 1)
        self._blend(target, opacity)

    def mark(self, xy: np.ndarray, shape: int, color: Color, *, opacity: float = 1.0) -> None:
        """An open circle, square, triangle or diamond (0 to 3) with a dot: what lies around the point stays visible."""
        target, centre = self._layer(opacity), self.place(xy)
        if shape % 4 == 0:
            _circle(target, centre, self.radius, color, self.width)
        else:
            turns = {1: np.arange(4) / 4 + 1 / 8, 2: np.arange(3) / 3 - 1 / 4, 3: np.arange(4) / 4}[shape % 4]
            corners = centre + 1.25 * self.radius * np.stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], axis=1)
            cv2.polylines(target, [_fixed(corners)], True, color, self.width, cv2.LINE_AA, _SHIFT)
        _circle(target, centre, 0.22 * self.radius, color, -1)
        self._blend(target, opacity)

    def cross(self, xy: np.ndarray, color: Color) -> None:
        arm = 0.8 * self.radius / self.zoom
        for direction in ((1, 1), (1, -1)):
            offset = arm * np.array(direction)
            self.line(xy - offset, xy + offset, color)

    def _layer(self, opacity: float) -> np.ndarray:
        return self.pixels if opacity >= 1 else self.pixels.copy()

    def _blend(self, layer: np.ndarray, opacity: float) -> None:
        if opacity < 1:
            cv2.addWeighted(layer, opacity, self.pixels, 1 - opacity, 0, dst=self.pixels)

    def write(self, lines: Sequence[tuple[str, tuple[float, float], Color]]) -> None:
        """Text with a dark rim, readable on any grey; places are top left corners in canvas pixels."""
        image = Image.fromarray(self.pixels)
        pen = ImageDraw.Draw(image)
        for text, corner, color in lines:
            pen.text(corner, text, fill=color, font=self.font, stroke_width=max(1, self.width), stroke_fill=(0, 0, 0))
        self.pixels = np.array(image)

    @property
    def font(self) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return ImageFont.load_default(self.text_height)

    def text_size(self, text: str) -> tuple[float, float]:
        left, top, right, bottom = self.font.getbbox(text, stroke_width=self.width)
        return right - min(left, 0), bottom - min(top, 0)


def _uncertain(
    keypoints: Keypoints, thresholds: Mapping[str, float] | float, spread: np.ndarray | None, longer_side: int
) -> np.ndarray:
    """(K,) bool."""
    names = keypoints.schema.names
    doubt = np.zeros(len(names), bool)
    if keypoints.score is not None:
        limits = np.array([thresholds.get(n, 0.5) if isinstance(thresholds, Mapping) else thresholds for n in names])
        doubt |= keypoints.score < np.minimum(limits + _MARGIN, (1 + limits) / 2)
    if spread is not None:
        doubt |= np.nan_to_num(np.asarray(spread, float)) > _WIDE_SPREAD * longer_side
    return doubt


def draw_overlay(
    frame: np.ndarray,
    keypoints: Keypoints,
    *,
    truth: Keypoints | None = None,
    spread: np.ndarray | None = None,
    thresholds: Mapping[str, float] | float = 0.5,
    title: str = "",
    zoom: int = 1,
    typical: bool | None = None,
) -> np.ndarray:
    """Draw the points of a frame.

    Args:
        frame: (H, W) grey levels; other than uint8 are windowed by :func:`to_display`.
        keypoints: what to draw, in pixels of the frame.
        truth: an annotator's label of the same frame, drawn as white crosses joined to the predictions.
        spread: (K,) standard deviation of the locations in pixels, drawn as thin circles; None or NaN = unknown.
        thresholds: of the visibility, to know what is uncertain.
        title: first line of text, e.g. the frame's number.
        zoom: whole factor by which the picture is enlarged, so that text and lines are finer than the frame's pixels.
        typical: False says on the picture that the model is not sure of the whole frame.

    Returns:
        (H * zoom, W * zoom, 3) uint8, red-green-blue.

    Raises:
        ValueError: the frame has other than two axes, or ``zoom`` is below 1.
    """
    if np.ndim(frame) != 2 or zoom < 1:
        raise ValueError(f"draw_overlay takes one frame (H, W) and a zoom >= 1, got shape {np.shape(frame)} and {zoom!r}")
    canvas = _Canvas(np.asarray(frame), zoom)
    schema, visible, xy = keypoints.schema, keypoints.visible, keypoints.xy
    doubt = _uncertain(keypoints, thresholds, spread, max(np.shape(frame)))
    opacity = np.where(doubt, _FAINT, 1.0)
    for a, b in schema.skeleton:
        i, j = schema.index(a), schema.index(b)
        if visible[i] and visible[j]:
            canvas.line(xy[i], xy[j], _rgb(schema.color_of(a)), opacity=min(opacity[i], opacity[j]))
    for i in np.flatnonzero(visible):
        color = _rgb(schema.color_of(schema.names[i]))
        canvas.mark(xy[i], int(schema.group_index[i]), color, opacity=opacity[i])
        if spread is not None and np.isfinite(spread[i]) and spread[i] > 0:
            canvas.ring(xy[i], float(spread[i]), color, opacity=opacity[i])
    if truth is not None:
        for i in np.flatnonzero(truth.visible):
            if visible[i]:
                canvas.line(truth.xy[i], xy[i], _WHITE)
            canvas.cross(truth.xy[i], _WHITE)
    canvas.write([*_names(canvas, keypoints, truth, doubt), *_legend(canvas, keypoints, truth, title, typical)])
    _scale_bar(canvas, keypoints.spacing or (truth.spacing if truth is not None else None))
    return canvas.pixels


def _names(
    canvas: _Canvas, keypoints: Keypoints, truth: Keypoints | None, doubt: np.ndarray
) -> list[tuple[str, tuple[float, float], Color]]:
    """Name and score of every point drawn, and of every true point that the prediction lacks, at free places."""
    schema = keypoints.schema
    nothing = np.zeros(len(schema.names), bool)
    missed = nothing if truth is None else truth.visible & ~keypoints.visible
    extra = nothing if truth is None else keypoints.visible & (truth.state == KeypointState.ABSENT)
    texts, colors, places = [], [], []
    for i in np.flatnonzero(keypoints.visible | missed):
        name, color = schema.names[i], np.array(_rgb(schema.color_of(schema.names[i])))
        score = "" if keypoints.score is None or missed[i] else f" {keypoints.score[i]:.2f}" + "?" * bool(doubt[i])
        texts.append(name + score + " missed" * bool(missed[i]) + " extra" * bool(extra[i]))
        colors.append(tuple(int(c) for c in (color * 0.62 if doubt[i] and not missed[i] else color)))
        places.append(canvas.place(truth.xy[i] if truth is not None and missed[i] else keypoints.xy[i]))
    height, width = canvas.pixels.shape[:2]
    corners = place_labels(
        np.array(places), [canvas.text_size(t) for t in texts], area=(width, height), radius=1.4 * canvas.radius
    )
    return [(t, (float(x), float(y)), c) for t, (x, y), c in zip(texts, corners, colors, strict=True)]  # type: ignore[misc]


def _legend(
    canvas: _Canvas, keypoints: Keypoints, truth: Keypoints | None, title: str, typical: bool | None
) -> list[tuple[str, tuple[float, float], Color]]:
    """The title, and at the bottom the groups of which nothing is there."""
    schema, step = keypoints.schema, canvas.text_height * 1.35
    lines: list[tuple[str, tuple[float, float], Color]] = []
    pad = canvas.text_height * 0.6
    top = [(title, _WHITE)] if title else []
    if typical is False:
        top.append((NOT_SURE, _WARNING))
    if truth is not None:
        top.append(("white cross: truth", _WHITE))
    lines += [(text, (pad, pad * 0.7 + n * step), color) for n, (text, color) in enumerate(top)]
    absent = [g for g, s in zip(schema.group_names, keypoints.group_state, strict=True) if s == KeypointState.ABSENT]
    bottom = canvas.pixels.shape[0] - pad * 0.7 - step * len(absent)
    for n, g in enumerate(absent):
        color = _rgb(schema.color_of(schema.groups[g][0]))
        lines.append((f"absent: {schema.titles.get(g, g)}", (pad, bottom + n * step), color))
    return lines


def _scale_bar(canvas: _Canvas, spacing: tuple[float, float] | None) -> None:
    """A bar of 10 mm at the lower right, where the spacing is known and the bar fits."""
    height, width = canvas.pixels.shape[:2]
    if spacing is None or (length := round(_SCALE_BAR_MM / spacing[0] * canvas.zoom)) > 0.5 * width:
        return
    right, bottom, thick = round(width * 0.97), round(height * 0.97), canvas.width + 1
    cv2.rectangle(canvas.pixels, (right - length - 1, bottom - thick - 1), (right, bottom), (0, 0, 0), -1)
    cv2.rectangle(canvas.pixels, (right - length, bottom - thick), (right - 1, bottom - 1), _WHITE, -1)
    text = f"{_SCALE_BAR_MM:g} mm"
    text_width, text_height = canvas.text_size(text)
    canvas.write([(text, (right - text_width, bottom - thick - 1.3 * text_height), _WHITE)])


def contact_sheet(pictures: Sequence[np.ndarray], *, columns: int | None = None, gap: int = 4) -> np.ndarray:
    """Pictures side by side, in reading order, each scaled down to the smallest width.

    Args:
        pictures: (H, W, 3) uint8 each, red-green-blue, of any sizes.
        columns: pictures in a row; None = about as many as rows.
        gap: pixels between two pictures.

    Returns:
        (H, W, 3) uint8, red-green-blue.

    Raises:
        ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    columns = columns or min(len(pictures), max(1, round(len(pictures) ** 0.5 * 1.2)))
    width = min(p.shape[1] for p in pictures)
    scaled = [_to_width(p, width) for p in pictures]
    height = max(p.shape[0] for p in scaled)
    rows = -(-len(scaled) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 24, np.uint8)
    for n, p in enumerate(scaled):
        y, x = (n // columns) * (height + gap), (n % columns) * (width + gap)
        sheet[y : y + p.shape[0], x : x + width] = p
    return sheet


def _to_width(picture: np.ndarray, width: int) -> np.ndarray:
    if picture.shape[1] == width:
        return picture
    return np.asarray(
        cv2.resize(picture, (width, round(picture.shape[0] * width / picture.shape[1])), interpolation=cv2.INTER_AREA)
    )


def frame_rate(frame_times: np.ndarray | None, *, default: float = 15.0) -> float:
    """Frames per second from ``frame_times`` (F,) in milliseconds; ``default`` where they do not tell."""
    steps = np.diff(np.asarray(frame_times, float)) if frame_times is not None else np.empty(0)
    steps = steps[steps > 0]
    return float(np.clip(1000 / np.median(steps), 0.5, 60)) if steps.size else default


def write_png(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Write ``picture`` (H, W, 3) uint8, red-green-blue; the file appears whole or not at all."""
    with replacing(path) as stream:
        Image.fromarray(picture).save(stream, format="PNG", optimize=False)


def write_gif(path: str | os.PathLike[str], pictures: Iterable[np.ndarray], *, fps: float) -> None:
    """Write an endless animation; the file appears whole or not at all.

    Args:
        path: of the file.
        pictures: (H, W, 3) uint8 each, red-green-blue, all of one size.
        fps: pictures per second; GIF counts in hundredths of a second.

    Raises:
        ValueError: there is no picture.
    """
    frames = [Image.fromarray(p).quantize(colors=128, dither=Image.Dither.NONE) for p in pictures]
    if not frames:
        raise ValueError("an animation needs at least one picture")
    with replacing(path) as stream:
        # GIF counts in hundredths of a second
        duration = max(2, round(100 / fps)) * 10
        frames[0].save(stream, format="GIF", save_all=True, append_images=frames[1:], duration=duration, loop=0)


def write_mp4(path: str | os.PathLike[str], pictures: Iterable[np.ndarray], *, fps: float) -> None:
    """Write a film (H.264); the file appears whole or not at all.

    Args:
        path: of the file.
        pictures: (H, W, 3) uint8 each, red-green-blue, all of one size; an odd last row or column is repeated, as the format
            needs even sizes.
        fps: pictures per second.

    Raises:
        ValueError: there is no picture.
        OSError: nothing could be written.
    """
    writer = None
    with replacing_path(path) as temporary:
        try:
            for picture in pictures:
                even = np.pad(picture, ((0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)), mode="edge")
                if writer is None:
                    writer = imageio_ffmpeg.write_frames(
                        str(temporary),
                        (even.shape[1], even.shape[0]),
                        fps=fps,
                        quality=7,
                        macro_block_size=2,
                        ffmpeg_log_level="error",
                    )
                    writer.send(None)
                writer.send(np.ascontiguousarray(even))
            if writer is None:
                raise ValueError("a film needs at least one picture")
        finally:
            if writer is not None:
                writer.close()
        if not temporary.stat().st_size:
            raise OSError(f"{path}: ffmpeg wrote nothing; is the disk full?")
