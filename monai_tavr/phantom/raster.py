"""From shapes to attenuation: mass-conserving tubes and closed surfaces, projected straight onto the pixel grid.

A tube (wire, catheter, strut, rib, vessel) is a ribbon: each short piece deposits its whole mass times mu over its projected
width, with the chord profile of a solid or hollow cylinder. Foreshortening darkens it and hollow tubes get double edges by
themselves. A closed surface (a vessel full of contrast) is drawn as a sum of signed depths: front faces subtract theirs, back
faces add it, and what remains per pixel is the thickness in mm. No voxels: 0.3 ms for a catheter, 2 ms for an aorta.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from monai_tavr.phantom.camera import Camera

__all__ = ["draw_surface", "draw_tube", "ellipsoid_chord"]

Image = NDArray[np.float32]

_SAMPLES_PER_PIXEL = 2.0


def _compile(function: Any) -> Any:
    """Compile to machine code, kept on disk where there is a place for it."""
    try:
        return numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # no writable directory: compile again in every process
        return numba.njit(error_model="numpy")(function)


@_compile
def _deposit(density, x, y, mass):  # type: ignore[no-untyped-def]
    """Share a mass among the four pixels around (x, y)."""
    height, width = density.shape
    ix, iy = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - ix, y - iy
    if ix >= 0 and iy >= 0 and ix < width - 1 and iy < height - 1:
        density[iy, ix] += mass * (1 - fx) * (1 - fy)
        density[iy, ix + 1] += mass * fx * (1 - fy)
        density[iy + 1, ix] += mass * (1 - fx) * fy
        density[iy + 1, ix + 1] += mass * fx * fy
    elif ix >= -1 and iy >= -1 and ix < width and iy < height:
        if ix >= 0 and iy >= 0:
            density[iy, ix] += mass * (1 - fx) * (1 - fy)
        if ix < width - 1 and iy >= 0:
            density[iy, ix + 1] += mass * fx * (1 - fy)
        if ix >= 0 and iy < height - 1:
            density[iy + 1, ix] += mass * (1 - fx) * fy
        if ix < width - 1 and iy < height - 1:
            density[iy + 1, ix + 1] += mass * fx * fy


@_compile
def _profile(weights, count, hollow):  # type: ignore[no-untyped-def]
    """Fill weights[:count] with the chord profile of a (hollow) cylinder, summing to one."""
    total = 0.0
    for k in range(count):
        t = (k + 0.5) / count * 2 - 1
        w = np.sqrt(1 - t * t)
        if abs(t) < hollow:
            w -= np.sqrt(hollow * hollow - t * t)
        weights[k] = w
        total += w
    for k in range(count):
        weights[k] /= total


@_compile
def _normal(xy, before, after):  # type: ignore[no-untyped-def]
    """Unit normal of the chord from one projected point to another."""
    tx, ty = xy[after, 0] - xy[before, 0], xy[after, 1] - xy[before, 1]
    length = np.sqrt(tx * tx + ty * ty) + 1e-9
    return -ty / length, tx / length


@_compile
def _tube(density, points, xy, magnification, radius, mu, hollow, samples_per_pixel):  # type: ignore[no-untyped-def]
    height, width = density.shape
    n = len(points)
    weights = np.empty(4096)
    count_before = -1
    for i in range(n - 1):
        x0, y0 = xy[i, 0], xy[i, 1]
        dx, dy = xy[i + 1, 0] - x0, xy[i + 1, 1] - y0
        margin = max(radius[i] * magnification[i], radius[i + 1] * magnification[i + 1]) + 1
        if max(x0, x0 + dx) < -margin or max(y0, y0 + dy) < -margin:
            continue
        if min(x0, x0 + dx) > width + margin or min(y0, y0 + dy) > height + margin:
            continue
        length = np.sqrt(dx * dx + dy * dy)
        length3 = np.sqrt(((points[i + 1] - points[i]) ** 2).sum())
        # Normals come from the neighbours at both ends, so that the ribbon is mitred.
        n0x, n0y = _normal(xy, max(i - 1, 0), i + 1)
        n1x, n1y = _normal(xy, i, min(i + 2, n - 1))
        steps = max(1, int(np.ceil(length * samples_per_pixel)))
        for q in range(steps):
            f = (q + 0.5) / steps
            r = radius[i] + f * (radius[i + 1] - radius[i])
            m = magnification[i] + f * (magnification[i + 1] - magnification[i])
            u = mu[i] + f * (mu[i + 1] - mu[i])
            half = r * m
            count = min(max(2, int(np.ceil(half * 3.4)) + 1), 4096)
            if count != count_before:
                _profile(weights, count, hollow)
                count_before = count
            nx, ny = n0x + f * (n1x - n0x), n0y + f * (n1y - n0y)
            mass = np.pi * r * r * (1 - hollow * hollow) * length3 / steps * m * m * u
            for k in range(count):
                t = ((k + 0.5) / count * 2 - 1) * half
                _deposit(density, x0 + f * dx + nx * t, y0 + f * dy + ny * t, mass * weights[k])


def draw_tube(
    density: NDArray[np.float64], camera: Camera, points: ArrayLike, *, radius: ArrayLike, mu: ArrayLike, hollow: float = 0.0
) -> None:
    """Add a tube to an attenuation image.

    Args:
        density: (H, W) float64 attenuation, changed in place.
        camera: the view; its size is that of `density`.
        points: (N, 3) world points in mm along the axis, close enough for straight pieces. Fewer than 2: nothing is drawn.
        radius: outer radius in mm, a number or (N,).
        mu: linear attenuation per mm, a number or (N,).
        hollow: inner over outer radius, in [0, 1).

    Raises:
        ValueError: `hollow` is not in [0, 1) or the size of the image is not the camera's.
    """
    if not 0 <= hollow < 1:
        raise ValueError(f"hollow = {hollow}: inner over outer radius must be in [0, 1)")
    _check_image(density, camera)
    axis = np.ascontiguousarray(points, dtype=np.float64)
    if len(axis) < 2:
        return
    xy, magnification = camera.project(axis)
    radii = np.ascontiguousarray(np.broadcast_to(np.asarray(radius, dtype=np.float64), len(axis)))
    mus = np.ascontiguousarray(np.broadcast_to(np.asarray(mu, dtype=np.float64), len(axis)))
    _tube(density, axis, xy, magnification, radii, mus, float(hollow), _SAMPLES_PER_PIXEL)


@_compile
def _edge(ax, ay, bx, by, x, y):  # type: ignore[no-untyped-def]
    """Twice the signed area of (a, b, p), computed alike for (a, b) and (b, a): neighbours agree on every pixel, no seams."""
    if ax < bx or (ax == bx and ay < by):
        return (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    return -((ax - bx) * (y - by) - (ay - by) * (x - bx))


@_compile
def _inside(e, ax, ay, bx, by):  # type: ignore[no-untyped-def]
    """Whether the pixel is inside this edge of a triangle turning positive; on the edge, exactly one of the neighbours has it."""
    return e > 0 or (e == 0 and (ay < by or (ay == by and ax > bx)))


@_compile
def _triangle(density, a, b, c, za, zb, zc):  # type: ignore[no-untyped-def]
    height, width = density.shape
    area = _edge(a[0], a[1], b[0], b[1], c[0], c[1])
    if area == 0:
        return
    sign = 1.0
    if area < 0:
        b, c, zb, zc, area, sign = c, b, zc, zb, -area, -1.0
    left = max(0, int(np.ceil(min(a[0], b[0], c[0]))))
    right = min(width - 1, int(np.floor(max(a[0], b[0], c[0]))))
    top = max(0, int(np.ceil(min(a[1], b[1], c[1]))))
    bottom = min(height - 1, int(np.floor(max(a[1], b[1], c[1]))))
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            ec = _edge(a[0], a[1], b[0], b[1], x, y)
            ea = _edge(b[0], b[1], c[0], c[1], x, y)
            eb = _edge(c[0], c[1], a[0], a[1], x, y)
            if (
                _inside(ec, a[0], a[1], b[0], b[1])
                and _inside(ea, b[0], b[1], c[0], c[1])
                and _inside(eb, c[0], c[1], a[0], a[1])
            ):
                density[y, x] += sign * (ea * za + eb * zb + ec * zc) / (ea + eb + ec)


@_compile
def _surface(thickness, xy, depth):  # type: ignore[no-untyped-def]
    rows, columns = depth.shape
    for i in range(rows - 1):
        for j in range(columns):
            k = (j + 1) % columns
            _triangle(thickness, xy[i, j], xy[i + 1, j], xy[i + 1, k], depth[i, j], depth[i + 1, j], depth[i + 1, k])
            _triangle(thickness, xy[i, j], xy[i + 1, k], xy[i, k], depth[i, j], depth[i + 1, k], depth[i, k])


def draw_surface(density: NDArray[np.float64], camera: Camera, grid: ArrayLike, *, mu: float = 1.0) -> None:
    """Add a closed solid of uniform density to an attenuation image.

    Args:
        density: (H, W) float64 attenuation, changed in place.
        camera: the view; its size is that of `density`.
        grid: (U, V, 3) world points in mm of the surface; V closes on itself, the first and the last row shrink to a point each.
        mu: linear attenuation per mm; 1 gives the thickness in mm.

    Raises:
        ValueError: the grid is too small or the size of the image is not the camera's.
    """
    _check_image(density, camera)
    points = np.ascontiguousarray(grid, dtype=np.float64)
    if points.ndim != 3 or points.shape[2] != 3 or points.shape[0] < 3 or points.shape[1] < 3:
        raise ValueError(f"surface grid of shape {points.shape}: give (U, V, 3) points with U, V >= 3")
    xy, _ = camera.project(points)
    depth = np.linalg.norm(points - camera.source, axis=-1)
    thickness = np.zeros_like(density)
    _surface(thickness, xy, depth - depth.mean())
    # The turn of the grid is free, so is the sign; a point where the surface folds may leave a little of the other one.
    if thickness.sum() < 0:
        np.negative(thickness, out=thickness)
    density += mu * np.maximum(thickness, 0)


@_compile
def _chord(out, start, corner, across, down):  # type: ignore[no-untyped-def]
    height, width = out.shape
    constant = (start * start).sum() - 1
    for i in range(height):
        for j in range(width):
            square, middle, length = 0.0, 0.0, 0.0
            for k in range(3):
                ray = corner[k] + j * across[k] + i * down[k]
                square += ray * ray
                middle += ray * start[k]
                world = corner[k + 3] + j * across[k + 3] + i * down[k + 3]
                length += world * world
            inside = middle * middle - square * constant
            out[i, j] = 2 * np.sqrt(inside * length) / square if inside > 0 else 0.0


def ellipsoid_chord(camera: Camera, centre: ArrayLike, half_axes: ArrayLike, directions: ArrayLike | None = None) -> Image:
    """Thickness of an ellipsoid along each ray.

    Args:
        centre: (3,) world point in mm.
        half_axes: (3,) mm along `directions`.
        directions: three unit vectors (3, 3), one per row, at right angles; the world's axes if not given.

    Returns:
        (H, W) float32 mm.
    """
    frame = np.eye(3) if directions is None else np.asarray(directions, dtype=np.float64)
    axes = frame / np.asarray(half_axes, dtype=np.float64)[:, None]
    pixel, middle = camera.pixel_mm_at_detector, (camera.size - 1) / 2
    first = camera.source_detector_mm * camera.direction + middle * pixel * (camera.up - camera.right)
    # Rays both in the ellipsoid's coordinates, where it is the unit sphere, and in mm.
    corner, across, down = (np.concatenate([axes @ v, v]) for v in (first, pixel * camera.right, -pixel * camera.up))
    out = np.empty((camera.size, camera.size), dtype=np.float32)
    _chord(out, axes @ (camera.source - np.asarray(centre, dtype=np.float64)), corner, across, down)
    return out


def _check_image(density: NDArray[np.float64], camera: Camera) -> None:
    if density.shape != (camera.size, camera.size):
        raise ValueError(f"image of shape {density.shape} for a camera of size {camera.size}: use camera.resized()")
    if density.dtype != np.float64:
        raise ValueError(f"image of type {density.dtype}: attenuation is accumulated in float64")
