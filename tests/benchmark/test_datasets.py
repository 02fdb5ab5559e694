"""The data themselves: real sets on their whole content, the embedded ones, the cache, and what is refused."""

import hashlib
import json

import numpy as np
import pytest

from robust_interpretability.benchmark.data import cache, datasets
from robust_interpretability.models.errors import InputError
from tests.conftest import needs_tfds

REAL = [
    # name, shape, training images of each class, channel means of the training set
    ("mnist", (28, 28, 1), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], [33.318]),
    ("fashion_mnist", (28, 28, 1), [6000] * 10, [72.940]),
    ("cifar10", (32, 32, 3), [5000] * 10, [125.307, 122.950, 113.865]),
]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@needs_tfds
@pytest.mark.parametrize(("name", "shape", "counts", "means"), REAL)
def test_real_sets_whole(name, shape, counts, means):
    data = datasets.load(name)
    assert data.info == datasets.describe(name)
    assert data.x_train.shape == (sum(counts), *shape)
    assert data.x_test.shape == (10_000, *shape)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int32
    np.testing.assert_array_equal(np.bincount(data.y_train), counts)
    np.testing.assert_array_equal(
        np.bincount(data.y_test), MNIST_TEST if name == "mnist" else [1000] * 10
    )
    np.testing.assert_allclose(data.x_train.mean(axis=(0, 1, 2)), means, atol=5e-4)
    np.testing.assert_allclose(data.channel_means() * 255, means, atol=5e-4)
    assert isinstance(data.x_train, np.memmap)


@needs_tfds
def test_limits_take_the_first_images():
    whole, part = datasets.load("mnist"), datasets.load("mnist", train_limit=55_000, test_limit=7)
    assert part.info == datasets.describe("mnist", train_limit=55_000, test_limit=7)
    assert (len(part.x_train), len(part.x_test)) == (55_000, 7)
    np.testing.assert_array_equal(part.x_test, whole.x_test[:7])


@needs_tfds
def test_damaged_cache_is_noticed_and_rebuilt(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    heard: list[str] = []
    first = datasets.load("mnist", notice=heard.append)
    assert [line.split(" (")[0] for line in heard] == [
        "decoding mnist train",
        "decoding mnist test",
    ]
    original = np.array(first.x_test)
    file = next(tmp_path.glob("mnist-*-test-x.npy"))
    content = bytearray(file.read_bytes())
    content[5000] ^= 255
    file.write_bytes(content)
    heard.clear()
    again = datasets.load("mnist", notice=heard.append)
    assert "damaged cache" in heard[0]
    assert "does not match its checksum" in heard[0]
    np.testing.assert_array_equal(again.x_test, original)
    file.write_bytes(bytes(content)[:1000])
    heard.clear()
    np.testing.assert_array_equal(datasets.load("mnist", notice=heard.append).x_test, original)
    assert "damaged cache" in heard[0]
    heard.clear()
    datasets.load("mnist", notice=heard.append)
    assert heard == []


def test_digits_are_fixed_and_stratified(digits):
    assert digits.info == datasets.Info("digits", "1.0.0", 1200, 597, (8, 8, 1), 10)
    content = b"".join(
        a.tobytes() for a in (digits.x_train, digits.y_train, digits.x_test, digits.y_test)
    )
    assert hashlib.sha256(content).hexdigest()[:16] == "3f2a94c4403a2e63"
    for y in (digits.y_train, digits.y_test):
        share = np.bincount(y) / len(y)
        assert share.min() > 0.09
        assert share.max() < 0.11
    assert digits.x_train.max() == 255


def test_gaussians():
    data = datasets.load("gaussians")
    x, y = data.x_train.astype(np.float64), data.y_train
    assert (x.shape, x.min(), x.max()) == ((6000, 2), 0.0, 1.0)
    scale = 2 * np.array([1.2, 0.1]) / (x[y == 0].mean(0) - x[y == 1].mean(0))
    np.testing.assert_allclose(
        scale[0], scale[1], rtol=0.05
    )  # both coordinates are scaled together
    covariance = np.cov(x[y == 0].T) * scale[0] ** 2
    np.testing.assert_allclose(covariance, [[0.1, -0.01], [-0.01, 0.002]], rtol=0.15)


def test_folder_order(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert datasets.tfds_folder("/given") == datasets.Path("/given")
    assert datasets.tfds_folder(None) == tmp_path
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert datasets.tfds_folder(None).name == "tensorflow_datasets"


def test_unknown_name_gets_the_close_match():
    with pytest.raises(
        InputError, match=r"Unknown dataset 'fashion_mnits'\. Did you mean 'fashion_mnist'"
    ):
        datasets.load("fashion_mnits")


def test_unprepared_set_without_a_network(monkeypatch, tmp_path):
    def no_network(*_):
        raise OSError("Name or service not known")

    monkeypatch.setattr(datasets.socket, "getaddrinfo", no_network)
    monkeypatch.setattr(datasets.urllib.request, "getproxies", dict)
    with pytest.raises(InputError) as error:
        datasets.load("mnist", data_dir=str(tmp_path))
    text = str(error.value)
    assert f"'mnist' is not prepared in {tmp_path}" in text
    assert "no network: " in text
    assert "python -m tensorflow_datasets build mnist --data_dir FOLDER" in text
    assert list(tmp_path.iterdir()) == []


class FakeBuilder:
    """A TFDS builder whose data is made on `download_and_prepare`."""

    def __init__(self, folder, splits=("train", "test"), shape=(4, 4, 1), fails=False, config=""):
        import tensorflow_datasets as tfds

        self.data_path, self.fails, self.url_infos = folder / "fake", fails, {}
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=shape),
                "label": tfds.features.ClassLabel(num_classes=3),
            }
        )

        class Split:
            num_examples = 30

        class Info:
            name, version, config_name = "fake", "1.2.3", config

        self.info = Info()
        self.info.features, self.info.splits = features, {s: Split() for s in splits}
        self.shape = shape

    def download_and_prepare(self):
        if self.fails:
            raise OSError("no space left on device")
        self.data_path.mkdir()

    def as_dataset(self, split, **_):
        import tensorflow as tf

        x = np.full((30, *self.shape), 7 if split == "train" else 9, np.uint8)
        return tf.data.Dataset.from_tensor_slices({"image": x, "label": np.arange(30) % 3})


@pytest.fixture
def fake(monkeypatch, tmp_path):
    import tensorflow_datasets as tfds

    def install(**options):
        builder = FakeBuilder(tmp_path, **options)
        monkeypatch.setattr(tfds, "builder", lambda *_, **__: builder)
        monkeypatch.setattr(tfds, "list_builders", lambda **_: ["fake"])
        monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
        return builder

    return install


def test_any_other_tfds_set_is_downloaded_prepared_and_decoded(fake):
    builder = fake(splits=("train", "validation"))
    data = datasets.load("fake")
    assert builder.data_path.exists()
    assert data.info == datasets.Info("fake", "1.2.3", 30, 30, (4, 4, 1), 3)
    assert (data.x_train == 7).all()
    assert (data.x_test == 9).all()
    sums = json.loads((cache.cache_folder() / "fake-1.2.3-train.json").read_text())
    assert set(sums) == {"x", "y"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ("train",)}, "must have splits 'train' and 'test'"),
        ({"shape": (None, None, 3)}, "must have images of one size"),
        ({"fails": True}, "could not be downloaded .*no space left on device"),
    ],
)
def test_sets_that_do_not_serve(fake, options, message):
    fake(**options)
    with pytest.raises(InputError, match=message):
        datasets.load("fake")


def test_without_tensorflow_what_is_decoded_serves(fake, monkeypatch):
    fake(splits=("train", "validation"))
    there = datasets.load("fake", train_limit=20)
    monkeypatch.setattr(datasets, "_has_tensorflow", lambda: False)
    monkeypatch.setattr(datasets, "_builder", pytest.fail)
    for name in ("fake", "fake:1.2.3"):
        data = datasets.load(name, train_limit=20)
        assert data.info == there.info == datasets.describe(name, train_limit=20)
        assert data.sha256() == there.sha256()
    for name in ("fake:1.2.4", "mnist"):
        with pytest.raises(
            InputError, match=f"'{name}' is not decoded in .*TensorFlow, which decodes it, is not"
        ):
            datasets.describe(name)
    (cache.cache_folder() / "fake-1.2.3-train-x.npy").write_bytes(b"cut")
    with pytest.raises(
        InputError, match="decoded data of 'fake' are damaged, and TensorFlow is not installed"
    ):
        datasets.load("fake")


def test_configurations_of_a_set_do_not_share_a_cache(fake):
    fake(config="small")
    assert datasets.load("fake/small").info.name == "fake/small"
    fake(config="large", shape=(8, 8, 1))
    assert datasets.load("fake/large").x_train.shape == (30, 8, 8, 1)
