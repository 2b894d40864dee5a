"""Drawn images that are no head slices: they teach a bundle what to reject, and no collection of photographs is needed.

Everything follows from the random generator. Most drawings stand on a dark ground, as heads do: what the rules of
`plausibility` reject anyway teaches nothing.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

_Floats = npt.NDArray[np.floating]
_Rng = np.random.Generator
_Tone = float | _Floats

_SIDE = 128  # pixels
_Y, _X = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j].astype(np.float32)
_FREQUENCY_Y = np.fft.fftfreq(_SIDE)[:, None].astype(np.float32)
_FREQUENCY_X = np.fft.rfftfreq(_SIDE)[None].astype(np.float32)
_LETTERS = "abcdefghijklmnopqrstuvwxyz        ,.ABCDEFGHIJKLMNOPRSTUVW0123456789"


def draw_not_head(kind: str, rng: _Rng) -> npt.NDArray[np.uint8]:
    """Draws one image, (side, side) uint8, grey.

    Args:
        kind: one of `KINDS`.
        rng: a generator in the same state gives the same pixels.

    >>> draw_not_head("face", np.random.default_rng(0)).shape
    (128, 128)
    """
    picture = np.clip(_DRAWN[kind](rng), 0, 1) ** rng.uniform(0.5, 1.8)
    if rng.random() < 0.15:
        picture = 1 - picture
    picture = _framed(picture, rng) * rng.uniform(0.6, 1)
    image = Image.fromarray((picture * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))
    noisy = np.asarray(image) + rng.normal(0, rng.choice((0.5, 2, 6)), image.size)
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)


def _framed(picture: _Floats, rng: _Rng) -> _Floats:
    """Shows a picture as it is, smaller on a dark ground, darker to its sides, or cut out along an outline."""
    ground, way = rng.choice((0.0, 0.03, 0.1)), rng.integers(5)
    if way == 0:
        return picture
    if way == 1:
        width, height = rng.integers(_SIDE // 2, _SIDE - 8, 2)
        left, top = rng.integers(0, _SIDE - width), rng.integers(0, _SIDE - height)
        small = Image.fromarray((picture * 255).astype(np.uint8)).resize((int(width), int(height)))
        framed = np.full(picture.shape, ground)
        framed[top : top + height, left : left + width] = np.asarray(small) / 255
        return framed
    if way == 2:
        distance = np.hypot(_X - rng.uniform(-0.3, 0.3), (_Y - rng.uniform(-0.3, 0.3)) * rng.uniform(0.7, 1.3))
        return picture * np.clip((rng.uniform(0.8, 1.2) - distance) / rng.uniform(0.05, 0.6), 0, 1)
    outline = _Shape(rng, rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15), rng.uniform(0.55, 0.95), plain=way == 3)
    return ground + (picture - ground) * outline.cover


class _Shape:
    """A closed outline: a circle, an ellipse, a box, a diamond, or one with waves.

    Attributes:
        depth: (side, side), 1 in its middle, 0 at its edge, below 0 outside.
        cover: (side, side), 1 inside, 0 outside.
    """

    def __init__(
        self,
        rng: _Rng,
        x: float,
        y: float,
        radius: float,
        *,
        aspect: float = 0.0,
        tilt: float | None = None,
        plain: bool = False,
        waves: tuple[int, float] = (0, 0.0),
    ) -> None:
        aspect = aspect or float(np.exp(rng.normal(0, 0.3)))
        angle = rng.uniform(0, np.pi) if tilt is None else tilt
        dx, dy = _X - x, _Y - y
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        power = 2.0 if plain else rng.choice((1.2, 2.0, 2.0, 2.0, 6.0))
        along, across = np.abs(along * np.sqrt(aspect)) / radius, np.abs(across / np.sqrt(aspect)) / radius
        distance = (along**power + across**power) ** (1 / power)
        around, edge = np.arctan2(dy, dx), np.ones_like(dx)
        order, amplitude = waves
        if order:
            edge += amplitude * np.cos(order * around + rng.uniform(0, 6.3))
        elif not plain:
            for turns in range(2, 6):
                edge += rng.normal(0, 0.12 / turns) * np.cos(turns * around + rng.uniform(0, 6.3))
        self.depth = 1 - distance / np.maximum(edge, 0.05)
        self.cover = np.clip(self.depth * radius * _SIDE / 3 + 0.5, 0, 1)


def _fractal(rng: _Rng, fall: float | None = None, stretch: float = 1.0) -> _Floats:
    """Returns noise from 0 to 1 whose amplitudes fall with a power of the frequency, as those of photographs do."""
    frequency = np.hypot(_FREQUENCY_Y * stretch, _FREQUENCY_X / stretch)
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(rng.standard_normal((_SIDE, _SIDE), np.float32)) / frequency ** (
        rng.uniform(0.8, 2.2) if fall is None else fall
    )
    noise = np.fft.irfft2(waves, (_SIDE, _SIDE))
    if rng.random() < 0.5:
        noise = noise.T
    return np.clip(0.5 + noise / (5 * noise.std()), 0, 1)


def _slope(rng: _Rng) -> _Floats:
    """Returns a light that falls from one side to the other, from 1 to 0."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.clip(0.5 + 0.4 * (_X * np.cos(angle) + _Y * np.sin(angle)), 0, 1)


def _surface(rng: _Rng, tone: float, shape: _Shape | None = None) -> _Floats:
    """Returns a tone with the light, the relief and the grain of a thing."""
    light = rng.uniform(0, 0.8) * (_slope(rng) - 0.5) + rng.uniform(0, 0.5) * (_fractal(rng) - 0.5)
    if shape is not None and rng.random() < 0.6:
        light = light + rng.uniform(-0.4, 0.8) * (np.sqrt(np.clip(shape.depth, 0, 1)) - 0.6)
    return np.clip(tone * (1 + light) + 0.1 * light, 0, 1)


def _ground(rng: _Rng) -> _Floats:
    """Returns what lies behind a thing: black, one grey, or blurred surroundings."""
    way = rng.integers(3)
    if way == 0:
        return np.zeros_like(_X)
    return _surface(rng, rng.uniform(0, 0.4)) if way == 1 else rng.uniform(0.1, 0.5) * _fractal(rng, 2.0)


def _paint(picture: _Floats, shape: _Shape, tone: _Tone) -> None:
    picture += (tone - picture) * shape.cover


def _leaves(rng: _Rng) -> _Floats:
    """Things that hide each other, their sizes by a power law (the dead leaves of Lee et al. 2001)."""
    picture = _surface(rng, rng.random())
    smallest, count = rng.uniform(0.03, 0.2), int(rng.integers(8, 40))
    for radius in np.sort(smallest * rng.power(1, count) ** -0.5)[::-1]:
        x, y = rng.uniform(-1, 1, 2)
        shape = _Shape(rng, x, y, min(radius, 0.8))
        _paint(picture, shape, _surface(rng, rng.random(), shape) if radius > 0.12 else rng.random())
    return picture


def _clouds(rng: _Rng) -> _Floats:
    noise = _fractal(rng, None, rng.choice((1.0, 1.0, 2.0, 5.0)))
    if rng.random() < 0.4:  # drawn along another noise: marble, water, wood
        noise = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(1, 6) * noise + rng.uniform(0, 8) * _slope(rng)))
    return np.clip((noise - 0.5) * rng.uniform(0.8, 2.5) + 0.5, 0, 1) * (rng.uniform(0, 1) + _slope(rng))


def _stripes(rng: _Rng) -> _Floats:
    """Gratings, checkers, rings, nets, walls."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.05, 0.5)
    along, across = _X * np.cos(angle) + _Y * np.sin(angle), _Y * np.cos(angle) - _X * np.sin(angle)
    if rng.random() < 0.3:
        along, across = np.hypot(_X, _Y), np.arctan2(_Y, _X) / 3
    first = np.sin(2 * np.pi * along / period + rng.uniform(0, 6) * _fractal(rng, 2.0))
    second = np.sin(2 * np.pi * across / period / rng.choice((1, 2, 3)))
    pattern = (first, first * second, np.maximum(first, second))[rng.integers(3)]
    sharp = np.clip(pattern * rng.choice((1, 10)), -1, 1) / 2 + 0.5
    return sharp * _surface(rng, rng.uniform(0.4, 1)) + rng.uniform(0, 0.3)


def _object(rng: _Rng) -> _Floats:
    """One to three things, each lit from a side, with smaller marks on them."""
    picture = _ground(rng)
    for _ in range(rng.integers(1, 4)):
        x, y, radius = *rng.uniform(-0.35, 0.35, 2), rng.uniform(0.25, 0.75)
        shape = _Shape(rng, x, y, radius)
        _paint(picture, shape, _surface(rng, rng.uniform(0.3, 1), shape))
        for _ in range(rng.integers(0, 7)):
            mark = _Shape(
                rng, x + rng.normal(0, radius / 3), y + rng.normal(0, radius / 3), radius * rng.uniform(0.05, 0.4)
            )
            mark.cover *= shape.cover
            _paint(picture, mark, _surface(rng, rng.random(), mark))
    return picture


def _face(rng: _Rng) -> _Floats:
    picture, turn, size = _ground(rng), rng.uniform(-0.25, 0.25), rng.uniform(0.45, 0.75)
    skin, hair = rng.uniform(0.3, 1), rng.uniform(0, 0.8)
    x, y = rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.1)

    def part(dx: float, dy: float, radius: float, aspect: float, tone: float, *, lit: bool = True) -> None:
        place = x + size * (dx * np.cos(turn) - dy * np.sin(turn)), y + size * (dy * np.cos(turn) + dx * np.sin(turn))
        shape = _Shape(rng, *place, size * radius, aspect=aspect, tilt=turn, plain=True)
        _paint(picture, shape, _surface(rng, tone, shape) if lit else tone)

    gap, eye = rng.uniform(0.3, 0.42), rng.uniform(0.07, 0.13)
    part(0, -0.2, rng.uniform(0.9, 1.2), rng.uniform(0.9, 1.2), hair)
    part(0, 1.7, rng.uniform(0.8, 1.2), 0.7, rng.random())
    part(0, 0.8, 0.4, 1.0, skin * 0.8)
    part(0, 0, 0.88, rng.uniform(1.15, 1.4), skin)
    for side in (-1, 1):
        part(side * gap, -0.12, eye * 1.6, 0.5, skin * 0.7)
        part(side * gap, -0.12, eye, 0.6, min(1.3 * skin, 1), lit=False)
        part(side * gap, -0.12, eye * 0.6, 1.0, 0.05, lit=False)
        part(side * gap, -0.32, eye * 1.4, 0.25, hair * 0.8, lit=False)
    part(0, 0.15, 0.12, 1.8, min(1.15 * skin, 1))
    part(0, 0.5, rng.uniform(0.15, 0.28), rng.uniform(0.2, 0.5), skin * 0.5)
    return picture


def _animal(rng: _Rng) -> _Floats:
    picture, tone, side = _ground(rng), rng.uniform(0.2, 1), rng.choice((-1, 1))
    fur = np.clip(tone * (0.6 + 0.8 * _fractal(rng, rng.uniform(0.5, 1.3), rng.choice((1.0, 3.0)))), 0, 1)
    body = rng.uniform(0.3, 0.45)
    parts = [(side * place, 0.55, 0.25, 4.0) for place in rng.uniform(-0.5, 0.5, rng.integers(2, 5))]
    parts += [(0, 0.1, body, 0.6), (side * -0.75, -0.1, 0.25, 0.25)]
    head = side * rng.uniform(0.35, 0.6), rng.uniform(-0.55, -0.2), rng.uniform(0.18, 0.38)
    parts += [(head[0] + ear * head[2] * 0.7, head[1] - head[2], head[2] * 0.4, 1.8) for ear in (-1, 1)]
    parts += [(*head, rng.uniform(0.8, 1.3))]
    for x, y, radius, aspect in parts:
        shape = _Shape(rng, x, y, radius, aspect=aspect, tilt=rng.normal(0, 0.2))
        _paint(picture, shape, fur * (0.7 + 0.5 * np.sqrt(np.clip(shape.depth, 0, 1))))
    for dx, dy, radius in ((-0.35, -0.15, 0.14), (0.35, -0.15, 0.14), (0, 0.4, 0.2)):
        _paint(picture, _Shape(rng, head[0] + dx * head[2], head[1] + dy * head[2], radius * head[2]), 0.05)
    return picture


def _plant(rng: _Rng) -> _Floats:
    """Flowers, leaves with veins, twigs."""
    picture = _ground(rng)
    for _ in range(rng.integers(1, 6)):
        x, y, radius = *rng.uniform(-0.6, 0.6, 2), rng.uniform(0.2, 0.7)
        petals = int(rng.integers(4, 14))
        flower = _Shape(
            rng, x, y, radius, plain=True, aspect=rng.uniform(0.8, 1.2), waves=(petals, rng.uniform(0.15, 0.5))
        )
        veins = 1 + 0.2 * np.cos(petals * rng.integers(2, 6) * np.arctan2(_Y - y, _X - x))
        _paint(picture, flower, _surface(rng, rng.uniform(0.3, 0.9), flower) * veins)
        _paint(picture, _Shape(rng, x, y, radius * rng.uniform(0.1, 0.4)), _surface(rng, rng.random()))
    for _ in range(rng.integers(0, 8)):
        x, y = rng.uniform(-0.9, 0.9, 2)
        leaf = _Shape(rng, x, y, rng.uniform(0.1, 0.3), aspect=rng.uniform(2, 12), plain=True)
        _paint(picture, leaf, _surface(rng, rng.random(), leaf))
    return picture


def _landscape(rng: _Rng) -> _Floats:
    """Sky, hills one behind another, and the ground before them."""
    picture = rng.uniform(0.1, 1) * (0.6 + 0.4 * _Y * rng.uniform(-1, 1)) + rng.uniform(0, 0.5) * (
        _fractal(rng, 1.7) - 0.5
    )
    height, tone = rng.uniform(-0.6, 0.3), rng.uniform(0.2, 0.9)
    for _ in range(rng.integers(1, 5)):
        ridge = height + rng.uniform(0.1, 1) * (_fractal(rng, rng.uniform(1.2, 2))[0] - 0.5)
        grain = _fractal(rng, rng.uniform(0.6, 1.4), 1 / rng.uniform(1, 3))
        covered = np.clip((_Y - ridge) * _SIDE / 3, 0, 1)
        picture += (np.clip(tone * (0.5 + grain), 0, 1) - picture) * covered
        height, tone = height + rng.uniform(0.1, 0.4), tone * rng.uniform(0.4, 1.3)
    return picture


def _buildings(rng: _Rng) -> _Floats:
    """Houses with windows, a street, rooms with furniture: boxes in rows."""
    picture = _slope(rng) * rng.random()
    for _ in range(rng.integers(2, 9)):
        left, top, width, height = rng.uniform((-1, -0.9, 0.3, 0.3), (0.7, 0.5, 1, 1.5))
        across, down = _X - left, _Y - top
        inside = (across > 0) & (across < width) & (down > 0) & (down < height)
        picture = np.where(inside, _surface(rng, rng.random()), picture)
        columns, rows = rng.uniform(0.06, 0.3, 2)
        gap = rng.uniform(0.2, 0.6)
        window = (across % columns > gap * columns) & (down % rows > gap * rows)
        if rng.random() < 0.7:
            picture = np.where(inside & window, rng.random(), picture)
    if rng.random() < 0.5:  # towards a vanishing point
        lines = np.sin(np.arctan2(_Y - rng.uniform(-0.2, 0.2), _X) * rng.uniform(8, 40))
        picture = np.where(_Y - rng.uniform(0, 0.5) > 0, np.clip(0.3 + 0.3 * lines, 0, 1), picture)
    return picture


def _lights(rng: _Rng) -> _Floats:
    """Night, stars, fireworks, spots out of focus."""
    picture = 0.25 * rng.random() * _fractal(rng, 2.0)
    for _ in range(rng.integers(3, 50)):
        squared = (_X - rng.uniform(-1, 1)) ** 2 + (_Y - rng.uniform(-1, 1)) ** 2
        radius, tone, sharp = 0.01 + 0.15 * rng.power(0.4), rng.uniform(0.2, 1), rng.choice((1, 6))
        picture = np.maximum(picture, tone / (1 + (squared / radius**2) ** sharp))
    return picture


def _cells(rng: _Rng) -> _Floats:
    """Many small round things: cells, coins, fruit, pebbles."""
    picture, radius, tone = _ground(rng), rng.uniform(0.06, 0.3), rng.uniform(0.3, 1)
    rim, core = rng.uniform(-0.4, 0.4), rng.uniform(-0.5, 0.3)
    for _ in range(int(min(rng.uniform(0.3, 1.5) / radius**2, 30))):
        x, y = rng.uniform(-0.95, 0.95, 2)
        shape = _Shape(
            rng, x, y, radius * rng.uniform(0.7, 1.2), plain=rng.random() < 0.5, aspect=rng.uniform(0.8, 1.2)
        )
        _paint(picture, shape, np.clip(tone + rim * (shape.depth < 0.2) + 0.3 * (shape.depth - 0.5), 0, 1))
        _paint(picture, _Shape(rng, x, y, radius * rng.uniform(0.15, 0.5)), np.clip(tone + core, 0, 1))
    return picture


def _text(rng: _Rng) -> _Floats:
    """A page, a sign or a screen."""
    image = Image.new("L", (_SIDE, _SIDE), int(rng.integers(0, 60)))
    pen, y, height = ImageDraw.Draw(image), rng.uniform(0, 30), rng.choice((8, 11, 16, 30))
    font, indent = ImageFont.load_default(float(height)), rng.uniform(0, 30)
    while y < _SIDE - rng.uniform(0, 30):
        line = "".join(rng.choice(list(_LETTERS), int(rng.uniform(3, _SIDE / height * 2))))
        pen.text((indent, y), line, fill=int(rng.integers(150, 256)), font=font)
        y += height * rng.choice((1.2, 1.2, 1.2, 2.5))
    page = np.asarray(image) / 255
    return page if rng.random() < 0.5 else (1 - page) * _surface(rng, 0.95)


def _chart(rng: _Rng) -> _Floats:
    """Bars, curves, dots or slices of a pie, on black or on white."""
    image = Image.new("L", (_SIDE, _SIDE), int(rng.integers(0, 30)))
    pen, kind, count = ImageDraw.Draw(image), rng.integers(4), int(rng.integers(3, 12))
    low, high = 15, _SIDE - 15
    step = (high - low) / count
    tones = rng.integers(80, 256, count).tolist()
    heights = rng.uniform(low, high, count).tolist()
    if kind == 0:
        for place, (tone, top) in enumerate(zip(tones, heights, strict=True)):
            pen.rectangle((low + place * step, top, low + (place + 0.7) * step, high), fill=tone)
    elif kind == 1:
        for tone in tones[:4]:
            line = [(low + place * step, rng.uniform(low, high)) for place in range(count + 1)]
            pen.line(line, fill=tone, width=int(rng.integers(1, 4)))
    elif kind == 2:
        for x, y in rng.uniform(low, high, (count * 8, 2)):
            pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=tones[0])
    else:
        edges = np.concatenate([[0], np.sort(rng.uniform(0, 360, count - 1)), [360]]).tolist()
        for tone, start, stop in zip(tones, edges, edges[1:], strict=False):
            pen.pieslice((low, low, high, high), start, stop, fill=tone)
    if kind != 3:
        pen.line([(low, low), (low, high), (high, high)], fill=220)
    for y in range(low, high, 20):
        pen.text((1, y), str(rng.integers(100)), fill=200)
    page = np.asarray(image) / 255
    return page if rng.random() < 0.7 else 1 - page


def _chest(rng: _Rng) -> _Floats:
    """A radiograph of the chest: lungs, ribs, spine and heart."""
    picture = np.zeros_like(_X)
    _paint(picture, _Shape(rng, 0, 0.2, rng.uniform(0.8, 1.1), plain=True), _surface(rng, rng.uniform(0.4, 0.8)))
    reach, air = rng.uniform(0.35, 0.48), rng.uniform(0.05, 0.35)
    for side in (-1, 1):
        lung = _Shape(rng, side * 0.4, 0, reach, aspect=rng.uniform(0.45, 0.7), tilt=side * 0.1)
        _paint(picture, lung, air + 0.2 * _fractal(rng, 1.2))
    bow = _Y * rng.uniform(6, 10) - 2.5 * _X**2 * rng.uniform(0.6, 1.4)
    picture += rng.uniform(0.05, 0.25) * np.clip(np.sin(2 * np.pi * bow / 2), 0, 1) * (picture > 0.05)
    _paint(picture, _Shape(rng, rng.uniform(0, 0.2), 0.3, rng.uniform(0.2, 0.35)), rng.uniform(0.6, 0.95))
    spine = np.clip(1.5 - np.abs(_X) / 0.06, 0, 1) * (0.8 + 0.2 * np.sin(_Y * 40))
    return np.maximum(picture, spine * rng.uniform(0.5, 1))


def _bones(rng: _Rng) -> _Floats:
    """Arms, legs, hands and joints: long bones with a bright rim in softer tissue, or slices across them."""
    picture, soft = np.zeros_like(_X), rng.uniform(0.15, 0.5)
    tilt, count = rng.normal(np.pi / 2, 0.3), int(rng.integers(1, 6))
    for place in np.linspace(-0.6, 0.6, count) if count > 1 else (rng.uniform(-0.2, 0.2),):
        width = rng.uniform(0.5, 0.9) / (count + 0.5)
        turned, long = tilt + rng.normal(0, 0.1), rng.choice((1.2, 4.0, 8.0))
        radius, y = width * np.sqrt(long), rng.uniform(-0.3, 0.3)
        for part, tone in ((1.9, soft), (1.0, rng.uniform(0.7, 1)), (0.75, rng.uniform(0.35, 0.7))):
            shape = _Shape(rng, place, y, radius * part * 0.55, aspect=1 / long, tilt=turned, plain=part > 1)
            _paint(picture, shape, _surface(rng, tone))
    return picture


def _torso(rng: _Rng) -> _Floats:
    """A slice through another part of the body: fat, wall, organs, spine and air."""
    picture = np.zeros_like(_X)
    aspect = rng.uniform(0.55, 0.9)
    for radius, tone in ((0.85, rng.uniform(0.3, 1)), (rng.uniform(0.7, 0.8), rng.uniform(0.2, 0.6))):
        _paint(picture, _Shape(rng, 0, 0, radius, aspect=aspect, tilt=0.0, plain=True), _surface(rng, tone))
    for _ in range(rng.integers(4, 14)):
        organ = _Shape(rng, rng.uniform(-0.6, 0.6), rng.uniform(-0.4, 0.3), rng.uniform(0.08, 0.35))
        organ.cover *= picture > 0
        _paint(picture, organ, _surface(rng, rng.choice((0.0, 0.3, 0.5, 0.7)), organ))
    for radius, tone in ((0.16, rng.uniform(0.6, 1)), (0.08, rng.uniform(0, 0.6))):
        _paint(picture, _Shape(rng, 0, 0.4, radius, aspect=1.0), tone)
    return picture


_DRAWN: dict[str, Callable[[_Rng], _Floats]] = {
    "leaves": _leaves,
    "clouds": _clouds,
    "stripes": _stripes,
    "object": _object,
    "face": _face,
    "animal": _animal,
    "plant": _plant,
    "landscape": _landscape,
    "buildings": _buildings,
    "lights": _lights,
    "cells": _cells,
    "text": _text,
    "chart": _chart,
    "chest": _chest,
    "bones": _bones,
    "torso": _torso,
}
KINDS = tuple(_DRAWN)
"""What can be drawn."""
