"""Square windows and what Square Attack proposes in them, against plain NumPy."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.attacks.autoattack import randomness
from pellucid.attacks.autoattack.square import Square, bump
from pellucid.attacks.autoattack.windows import Windows
from pellucid.models import backend

numpy, tensor = keras.ops.convert_to_numpy, keras.ops.convert_to_tensor


@pytest.fixture(params=["any shape", "fixed shapes"])
def shapes(request, monkeypatch):
    """Both ways to look at windows: by their rows, and through a mask over the image."""
    fixed = request.param == "fixed shapes"
    if backend.fixed_shapes() and not fixed:
        pytest.skip("this backend compiles for fixed shapes")
    monkeypatch.setattr(backend, "fixed_shapes", lambda: fixed)
    return request.param


def windows_of(corners: np.ndarray, sides: np.ndarray, shape: tuple) -> np.ndarray:
    """`(n, h, w, c)` bool, pixel by pixel."""
    inside = np.zeros((len(sides), *shape), bool)
    for image, ((row, column), side) in enumerate(zip(corners, sides, strict=True)):
        inside[image, row : row + side, column : column + side] = True
    return inside


def corners_of(drawn: np.ndarray, sides: np.ndarray, shape: tuple) -> np.ndarray:
    size = np.array(shape[:2], np.float32) + 1 - sides[:, None].astype(np.float32)
    return np.floor(drawn * size).astype(int)


def test_windows_lie_anywhere_and_belong_to_the_image(shapes):
    """Every position is drawn, also in the last row and column; another batch draws the same."""
    keys = tensor(randomness.keys_of(0, np.arange(4000)))
    drawn = randomness.uniform(keys, (2,))
    side = tensor(np.full(4000, 3, np.int32))
    window = Windows.drawn(drawn, side, (8, 7, 1))
    assert {tuple(corner) for corner in numpy(window.corner)} == {
        (r, c) for r in range(6) for c in range(5)
    }
    again = randomness.uniform(keys[100:200], (2,))
    np.testing.assert_array_equal(numpy(drawn)[100:200], numpy(again))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("fixed", [False, True])
def test_only_a_window_is_written(fixed, data):
    """Windows of several sides in one batch, also at the border and as large as the image."""
    if backend.fixed_shapes() and not fixed:
        pytest.skip("this backend compiles for fixed shapes")
    n, height, width, channels = (data.draw(st.integers(1, most)) for most in (5, 7, 6, 3))
    shape = (height, width, channels)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    sides = rng.integers(1, min(height, width) + 1, n).astype(np.int32)
    drawn = rng.random((n, 2), np.float32)
    images, other = rng.random((2, n, *shape), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "fixed_shapes", lambda: fixed)
        window = Windows.drawn(tensor(drawn), tensor(sides), shape)
        inside = window.covers(window, shape)
        rows = backend.select(inside, window.read(tensor(other)), window.read(tensor(images)))
        written = numpy(window.written(tensor(images), rows))
    expected = windows_of(corners_of(drawn, sides, shape), sides, shape)
    np.testing.assert_array_equal(written, np.where(expected, other, images))


def proposed(state: dict, drawn: np.ndarray, sides: np.ndarray, norm: str) -> np.ndarray:
    """The proposal for each image in float64, as the paper and `Square` describe it."""
    out = []
    x, best = (state[k].astype(np.float64) for k in ("x", "x_adv"))
    shape = x.shape[1:]
    first, second = (
        windows_of(corners_of(drawn[:, at : at + 2], sides, shape), sides, shape) for at in (0, 2)
    )
    for i, side in enumerate(sides):
        radius, sign = state["radius"][i], np.where(drawn[i, 5:] < 0.5, -1.0, 1.0)
        if norm == "linf":
            out.append(np.where(first[i], np.clip(x[i] + radius * sign, 0, 1), best[i]))
            continue
        change = best[i] - x[i]
        both = first[i] | second[i]
        held = np.where(both, change**2, 0).sum((0, 1))
        unused = max(radius**2 - (change**2).sum(), 0) / shape[-1]
        tile = bump(side).astype(np.float64)
        if drawn[i, 4] < 0.5:
            tile = tile.T
        new = change[first[i]].reshape(side, side, -1)
        length = np.sqrt((new**2).sum((0, 1)))
        new = tile[..., None] * sign + np.divide(
            new, length, out=np.zeros_like(new), where=length > 0
        )
        new *= np.sqrt(held + unused) / np.sqrt((new**2).sum((0, 1)))
        change = np.where(second[i], 0, change)
        change[first[i]] = new.ravel()
        out.append(np.clip(x[i] + change, 0, 1))
    return np.array(out)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_proposal_is_the_papers(shapes, norm, channels):
    n, shape = 60, (9, 11, channels)
    rng = np.random.default_rng(3)
    x = rng.random((n, *shape), np.float32)
    change = rng.normal(size=x.shape).astype(np.float32)
    change[:10] = 0  # the first query of an image that nothing has changed yet
    change *= 0.7 / np.maximum(np.sqrt((change**2).sum((1, 2, 3), keepdims=True)), 1e-9)
    state = {
        "x": x,
        "x_adv": np.clip(x + change, 0, 1),
        "radius": np.full(n, 0.8, np.float32),
        "i": np.arange(n, dtype=np.int32),
        "draws": randomness.keys_of(1, np.arange(n)),
    }
    sides = (rng.integers(1, 4, n) * 2 + 1).astype(np.int32)
    keys = randomness.fold_in(tensor(state["draws"]), tensor(state["i"]))
    drawn = numpy(randomness.uniform(keys, (5 + channels,)))
    tensors = {k: tensor(v) for k, v in state.items()}
    found = numpy(Square(norm)._proposal(tensors, tensor(sides)))
    np.testing.assert_allclose(found, proposed(state, drawn, sides, norm), atol=2e-6)
    length = np.sqrt(((found - x).astype(np.float64) ** 2).sum((1, 2, 3)))
    assert norm == "linf" or length.max() <= 0.8 * (1 + 1e-6)
