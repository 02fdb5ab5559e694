"""XAI-TRIS: a T or an L of four pixels in noise, 8x8; which pixels tell the classes apart is known.

With F the patterns and B the noise of all 10,000 images, an image is its part of

    x = α F / ||F|| + (1 - α) B / ||B||       linear, translations and rotations, XOR
    x = (1 - α F) / ||1 - α F|| * B / ||B||   multiplicative

divided by max |x|. The norms and the maximum are taken over all images. B is drawn from N(0, .5²),
whose size the norm cancels; correlated, it is then smoothed by a Gaussian filter of sigma 3 pixels.

| problem | F | classes | truth |
| --- | --- | --- | --- |
| linear, multiplicative | a T at (1, 1) or an L at (4, 5) | T, L | the pixels of both |
| translations and rotations | a T or an L anywhere, in any of four rotations | T, L | its pixels |
| XOR | ±T at (1, 1) and ±L at (4, 5) | same sign, opposite signs | the pixels of both |

Where the places are fixed, a missing pattern says as much as one that is there, so both belong to
the truth, as in the paper.

The paper's split is 80/10/10: here 8,000 images to train and the last 1,000 to test. The 1,000
between them, its validation images, are left out. Pixels are (x + 1) / 2, rounded to 256 levels:
an error with a standard deviation of .0011, where that of the noise is .04 to .10 and the faintest
pattern (linear, correlated) has .0052.

Reference: Clark et al., arXiv 2306.12816.
"""

import numpy as np

from pellucid.benchmark.data.dataset import Dataset, Info
from pellucid.models.types import Array

ALPHAS = {
    "linear": {"white": 0.18, "correlated": 0.0125},
    "multiplicative": {"white": 0.7, "correlated": 0.1},
    "translations_rotations": {"white": 0.65, "correlated": 0.2},
    "xor": {"white": 0.35, "correlated": 0.15},
}
"""The weight α of the patterns, by problem and noise."""

NAMES = tuple(f"xai_tris_{problem}_{noise}" for problem in ALPHAS for noise in ALPHAS[problem])

SIDE = 8
"""Height and width of an image, in pixels."""
PARTS = (8000, 1000, 1000)
"""Images to train, to validate and to test."""
DEVIATION = 0.5
"""Standard deviation of the noise before it is smoothed."""
SIGMA = 3.0
"""Width of the filter that makes noise correlated, in pixels."""

T = np.array([[1, 0], [1, 1], [1, 0]])
L = np.array([[1, 0], [1, 0], [1, 1]])


def _at(pattern: Array, row: int, column: int) -> Array:
    """An image with a pattern's upper left corner at a pixel."""
    image = np.zeros((SIDE, SIDE))
    image[row : row + pattern.shape[0], column : column + pattern.shape[1]] = pattern
    return image


def _everywhere(pattern: Array) -> Array:
    """A pattern in each of its rotations at each place where it fits, `(168, 8, 8)`."""
    return np.array(
        [
            _at(turned, row, column)
            for turned in (np.rot90(pattern, quarters) for quarters in range(4))
            for row in range(SIDE - turned.shape[0] + 1)
            for column in range(SIDE - turned.shape[1] + 1)
        ]
    )


def _patterns(problem: str, kinds: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The patterns F of every image and the truth, each `(n, 8, 8)`.

    Args:
        problem: A key of `ALPHAS`.
        kinds: `(n,)` integers 0 .. 3: the class is 0 for 0 and 1, and 1 for 2 and 3.
        rng: What draws places and rotations.
    """
    upper, lower = _at(T, 1, 1), _at(L, 4, 5)
    if problem == "translations_rotations":
        places = np.array([_everywhere(T), _everywhere(L)])
        pattern = places[kinds // 2, rng.integers(places.shape[1], size=len(kinds))]
        return pattern, pattern != 0
    both = upper + lower
    choices = (upper, upper, lower, lower)
    if problem == "xor":
        choices = (both, -both, upper - lower, lower - upper)
    return np.array(choices)[kinds], np.broadcast_to(both != 0, (len(kinds), SIDE, SIDE))


def _noise(noise: str, rng: np.random.Generator) -> Array:
    from scipy.ndimage import gaussian_filter

    white = rng.normal(0, DEVIATION, (sum(PARTS), SIDE, SIDE))
    return white if noise == "white" else gaussian_filter(white, SIGMA, axes=(1, 2))


def _unit(values: Array) -> Array:
    return values / np.sqrt(np.sum(values**2))


def describe(name: str) -> Info:
    """What is known of a set of `NAMES`."""
    source = "made by this program, after arXiv 2306.12816"
    return Info(name, "1.0.0", PARTS[0], PARTS[-1], (SIDE, SIDE, 1), 2, source=source, truth=True)


def build(name: str) -> Dataset:
    """A set of `NAMES`; each class has half of the images of each split."""
    problem, noise = name.removeprefix("xai_tris_").rsplit("_", 1)
    alpha, rng = ALPHAS[problem][noise], np.random.default_rng(0)
    background = _unit(_noise(noise, rng))
    kinds = np.concatenate([rng.permutation(np.arange(part) % 4) for part in PARTS])
    patterns, truth = _patterns(problem, kinds, rng)
    if problem == "multiplicative":
        x = _unit(1 - alpha * patterns) * background
    else:
        x = alpha * _unit(patterns) + (1 - alpha) * background
    x = np.round(255 * (x / np.abs(x).max() + 1) / 2).astype(np.uint8)[..., None]
    y = (kinds // 2).astype(np.int32)
    n, m = PARTS[0], PARTS[-1]
    return Dataset(describe(name), x[:n], y[:n], x[-m:], y[-m:], truth[:n], truth[-m:])
