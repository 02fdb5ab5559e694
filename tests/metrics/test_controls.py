"""Controls: closed forms, and what they must not know."""

import numpy as np
import pytest

from pellucid.metrics import CONTROLS, controls
from pellucid.models.errors import InputError


@pytest.mark.parametrize("size", [(8, 8), (28, 20)])
def test_the_gaussian_is_centred_and_as_wide_as_it_says(size):
    found = controls.centred_gaussian(*size)
    assert found.shape == size
    np.testing.assert_allclose(found, found[::-1, ::-1])
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    by_hand = np.exp(-(((rows - (height - 1) / 2) / (height / 4)) ** 2) / 2) * np.exp(
        -(((columns - (width - 1) / 2) / (width / 4)) ** 2) / 2
    )
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)


def test_edges_of_a_ramp_and_of_nothing():
    """Sobel's kernel sums the slopes of rows with weights 1, 2, 1 over two pixels: 8 times."""
    ramp = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None] / 10, (2, 6, 6))[..., None]
    found = controls.sobel(np.repeat(ramp, 2, axis=-1))
    np.testing.assert_allclose(found[:, 1:-1], 2 * 0.8, rtol=1e-5)
    assert not controls.sobel(np.full((1, 5, 5, 3), 200, np.uint8)).any()
    slanted = controls.sobel(ramp + ramp.transpose(0, 2, 1, 3))
    np.testing.assert_allclose(slanted[:, 1:-1, 1:-1], 0.8 * np.sqrt(2), rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_every_image_gets_another_one_of_its_class(seed):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, 50)
    found = controls.shuffled_within(classes, seed)
    assert sorted(found) == list(range(50))
    np.testing.assert_array_equal(classes[found], classes)
    assert (found != np.arange(50)).all()
    anywhere = controls.shuffled(50, seed)
    assert sorted(anywhere) == list(range(50))
    assert (anywhere != np.arange(50)).all()
    assert (classes[anywhere] != classes).any()


def test_the_only_image_of_a_class_keeps_its_own():
    assert controls.shuffled_within(np.array([3, 1, 3]), 0).tolist() == [2, 1, 0]
    with pytest.raises(InputError, match="2 or more images"):
        controls.shuffled(1, 0)


def test_records_say_what_a_control_is_made_of():
    made_of_network = {c.name for c in CONTROLS.values() if c.of_network}
    assert not {"gaussian", "sobel", "untrained"} & made_of_network
    assert all(c.of_map for c in CONTROLS.values() if c.of_network)
