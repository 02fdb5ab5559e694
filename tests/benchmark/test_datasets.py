"""Data sets: all images of the real ones, the embedded ones, the cache, and what is refused."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pellucid.benchmark.data import cache, datasets, tfds
from pellucid.benchmark.data.identity import same_images
from pellucid.models.errors import InputError
from tests.commands import here
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
def test_all_images_of_the_real_sets(name, shape, counts, means):
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
    every, part = datasets.load("mnist"), datasets.load("mnist", train_limit=55_000, test_limit=7)
    assert part.info == datasets.describe("mnist", train_limit=55_000, test_limit=7)
    assert (len(part.x_train), len(part.x_test)) == (55_000, 7)
    np.testing.assert_array_equal(part.x_test, every.x_test[:7])


@needs_tfds
def test_damaged_cache_is_noticed_and_rebuilt(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    heard: list[str] = []
    first = datasets.load("mnist", notice=heard.append)
    source = f"data: mnist/3.0.1 from {datasets.tfds_folder().resolve() / 'mnist' / '3.0.1'}"
    assert [line.split(" (")[0] for line in heard] == [
        "decoding mnist train",
        "decoding mnist test",
        source,
    ]
    original = np.array(first.x_test)
    file = next(tmp_path.glob("data/mnist-3.0.1-*/x_test.npy"))
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
    assert heard == [source]


def test_digits_are_fixed_and_stratified(digits):
    expected = datasets.Info("digits", "1.0.0", 1200, 597, (8, 8, 1), 10, "scikit-learn")
    assert digits.info == expected
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
    assert datasets.tfds_folder("/given") == Path("/given")
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

    monkeypatch.setattr(tfds.socket, "getaddrinfo", no_network)
    monkeypatch.setattr(tfds.urllib.request, "getproxies", dict)
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
        from tensorflow_datasets import features as kinds

        self.data_path, self.fails, self.url_infos = folder / "fake", fails, {}
        features = kinds.FeaturesDict(
            {"image": kinds.Image(shape=shape), "label": kinds.ClassLabel(num_classes=3)}
        )

        class Split:
            num_examples = 30

        class Info:
            name, version, config_name, supervised_keys = "fake", "1.2.3", config, None

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
    import tensorflow_datasets

    def install(**options):
        builder = FakeBuilder(tmp_path, **options)
        monkeypatch.setattr(tensorflow_datasets, "builder", lambda *_, **__: builder)
        monkeypatch.setattr(tensorflow_datasets, "list_builders", lambda **_: ["fake"])
        monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
        return builder

    return install


def test_any_other_tfds_set_is_downloaded_prepared_and_decoded(fake):
    builder = fake(splits=("train", "validation"))
    data = datasets.load("fake")
    assert builder.data_path.exists()
    source = ("tensorflow_datasets fake/1.2.3", str(builder.data_path.resolve()))
    assert data.info == datasets.Info("fake", "1.2.3", 30, 30, (4, 4, 1), 3, *source)
    assert (data.x_train == 7).all()
    assert (data.x_test == 9).all()
    (copy,) = cache.copies()
    assert copy.info == data.info
    assert set(copy.sha256) == {"x_train", "y_train", "x_test", "y_test"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ("train",)}, "it has no split 'test', only train"),
        ({"shape": (None, None, 3)}, "images of one size are needed"),
        ({"fails": True}, "could not be downloaded .*no space left on device"),
    ],
)
def test_unsuitable_sets_are_refused(fake, options, message):
    fake(**options)
    with pytest.raises(InputError, match=message):
        datasets.load("fake")


@pytest.fixture
def no_tensorflow(monkeypatch):
    def hide():
        monkeypatch.setattr(tfds, "has_tensorflow", lambda: False)
        monkeypatch.setattr(tfds, "_builder", pytest.fail)

    return hide


def test_without_tensorflow_decoded_copies_are_read(fake, no_tensorflow):
    fake(splits=("train", "validation"))
    there = datasets.load("fake", train_limit=20)
    no_tensorflow()
    for name in ("fake", "fake:1.2.3"):
        data = datasets.load(name, train_limit=20)
        assert data.info == there.info == datasets.describe(name, train_limit=20)
        assert data.sha256() == there.sha256()
    for name in ("fake:1.2.4", "mnist"):
        with pytest.raises(
            InputError, match=f"'{name}' is not decoded in .*TensorFlow, which decodes it, is not"
        ):
            datasets.describe(name, data_dir="/nothing")
    (copy,) = cache.copies()
    (copy.place / "x_train.npy").write_bytes(b"cut")
    with pytest.raises(
        InputError, match=r"decoded data of 'fake' are damaged .*x_train\.npy does not match"
    ):
        datasets.load("fake")


def test_configurations_of_a_set_do_not_share_a_cache(fake):
    fake(config="small")
    assert datasets.load("fake/small").info.name == "fake/small"
    fake(config="large", shape=(8, 8, 1))
    assert datasets.load("fake/large").x_train.shape == (30, 8, 8, 1)


def prepare(folder: Path, name: str, features: dict, splits: tuple = ("train", "test")) -> None:
    """Prepares a real TFDS set of four examples a split, with features of these kinds."""
    import tensorflow as tf
    import tensorflow_datasets

    values = {"Image": np.zeros((4, 4, 4, 1)), "Text": ["a"] * 4}

    def examples() -> tf.data.Dataset:
        columns = {
            key: np.array(values.get(type(kind).__name__, np.arange(4) % 2)).astype(
                "S" if type(kind).__name__ == "Text" else kind.np_dtype
            )
            for key, kind in features.items()
        }
        return tf.data.Dataset.from_tensor_slices(columns)

    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name,
        version="1.0.0",
        features=tensorflow_datasets.features.FeaturesDict(features),
        split_datasets={split: examples() for split in splits},
        data_dir=folder,
    )


@pytest.fixture(scope="module")
def own_sets(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A user's own sets, and why each does not fit; empty where it does."""
    from tensorflow_datasets import features as kinds

    folder = tmp_path_factory.mktemp("own")
    image, label = kinds.Image(shape=(4, 4, 1)), kinds.ClassLabel(num_classes=2)
    expected = {}

    def add(name: str, why: str, features: dict, **options: tuple) -> None:
        prepare(folder, name, features, **options)
        expected[name] = why and f"does not fit: {why}."

    add("fits", "", {"image": image, "label": label})
    text = {"image": image, "label": kinds.Text()}
    add("captions", "label is Text; ClassLabel is needed", text)
    ages = {"image": image, "age": kinds.Scalar(np.int64)}
    add("ages", "age is Scalar of int64; ClassLabel is needed", ages)
    reviews = {"text": kinds.Text(), "label": label}
    add("reviews", "text is Text; Image is needed", reviews)
    two = {"image": image, "fine": label, "coarse": label}
    add("two", "coarse, fine are ClassLabel; one is needed", two)
    deep = {"image": kinds.Image(shape=(4, 4, 1), dtype=np.uint16), "label": label}
    add("deep", "image is of uint16; uint8 is needed", deep)
    sized = {"image": kinds.Image(shape=(None, None, 1)), "label": label}
    why = "image has the shape (None, None, 1); images of one size are needed"
    add("sized", why, sized)
    one = {"image": image, "label": label}
    add("one_split", "it has no split 'test', only train", one, splits=("train",))
    return folder, expected


def test_a_set_that_does_not_fit_says_which_feature_is_wrong_and_what_is_needed(own_sets):
    folder, expected = own_sets
    for name, why in expected.items():
        if why:
            with pytest.raises(InputError) as error:
                datasets.describe(name, data_dir=str(folder))
            assert str(error.value) == f"Data set '{name}' {why}"
        else:
            assert datasets.describe(name, data_dir=str(folder)).shape == (4, 4, 1)


def test_doctor_lists_the_users_own_sets_and_whether_each_fits(own_sets):
    folder, expected = own_sets
    done = here("doctor", "--data-dir", folder)
    assert done.returncode == 0
    rows = {line[4:].split()[0]: line for line in done.stdout.splitlines()}
    for name, why in expected.items():
        assert rows[name].startswith("--" if why else "ok"), name
        assert why in rows[name]
    where = (folder / "fits" / "1.0.0").resolve()
    assert rows["fits"].endswith(f"1.0.0, 4 and 4 images of 4x4x1, 2 classes, in {where}")
    assert rows["mnist"].endswith(f"not prepared in {folder}; downloaded when needed")


def test_doctor_downloads_nothing(own_sets, tmp_path):
    """A set of TFDS that is there in another version than TFDS has now."""
    (tmp_path / "mnist" / "0.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "0.0.1" / "dataset_info.json").write_text("{}")
    done = here("doctor", "--data-dir", tmp_path)
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("--  mnist "))
    assert "is not prepared in" in row
    assert [path.name for path in tmp_path.iterdir()] == ["mnist"]


def test_of_several_labels_the_one_for_supervised_learning_is_taken(fake):
    """As in CIFAR-100, which has coarse labels too."""
    from tensorflow_datasets import features as kinds

    builder = fake()
    builder.info.features = kinds.FeaturesDict(
        dict(builder.info.features) | {"coarse": kinds.ClassLabel(num_classes=2)}
    )
    with pytest.raises(InputError, match="coarse, label are ClassLabel; one is needed"):
        datasets.describe("fake")
    builder.info.supervised_keys = ("image", "label")
    assert datasets.describe("fake").num_classes == 3


def build(folder, seed: int, config: str | None = None, names: list[str] | None = None) -> Path:
    """Prepares a real TFDS set of 30 and 12 random images, and returns its folder."""
    import tensorflow as tf
    import tensorflow_datasets

    kinds, rng = tensorflow_datasets.features, np.random.default_rng(seed)

    def split(n: int) -> tf.data.Dataset:
        x = rng.integers(0, 256, (n, 4, 4, 1), dtype=np.uint8)
        return tf.data.Dataset.from_tensor_slices({"image": x, "label": np.arange(n) % 3})

    classes = {"names": names} if names else {"num_classes": 3}
    prepared = folder / "tiny" / (config or "") / "1.0.0"
    shutil.rmtree(prepared, ignore_errors=True)
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        "tiny",
        version="1.0.0",
        features=kinds.FeaturesDict(
            {"image": kinds.Image(shape=(4, 4, 1)), "label": kinds.ClassLabel(**classes)}
        ),
        split_datasets={"train": split(30), "test": split(12)},
        data_dir=folder,
        config=config,
    )
    return prepared


def images(folder, name="tiny", heard=lambda _: None) -> list[int]:
    data = datasets.load(name, data_dir=str(folder), notice=heard)
    return [*data.x_train.flat, *data.x_test.flat]


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_classes_have_the_names_that_tfds_keeps(empty_cache, tmp_path):
    """With and without TensorFlow they are read from the prepared folder; else they are numbers."""
    build(tmp_path / "named", 0, names=["T-shirt/top", "Trouser", "Pullover"])
    build(tmp_path / "numbered", 0)
    named = datasets.load("tiny", data_dir=str(tmp_path / "named"))
    assert named.info.class_names == ("T-shirt/top", "Trouser", "Pullover")
    numbered = datasets.load("tiny", data_dir=str(tmp_path / "numbered"))
    assert numbered.info.class_names == ("0", "1", "2")
    assert datasets.describe("digits").class_names == tuple("0123456789")
    (tmp_path / "named" / "tiny" / "1.0.0" / "coarse.labels.txt").write_text("top\nbottom\n")
    assert named.info.class_names == ("T-shirt/top", "Trouser", "Pullover"), "as in CIFAR-100"
    cifar10 = datasets.Info("cifar10", "3.0.2", 9, 9, (32, 32, 3), 10, folder=str(tmp_path))
    assert (cifar10.class_names[0], cifar10.class_names[9]) == ("airplane", "truck")
    (tmp_path / "named").rename(tmp_path / "gone")
    assert named.info.class_names == ("0", "1", "2")


def test_one_name_and_version_in_two_folders_are_two_sets(empty_cache, tmp_path):
    a, b = build(tmp_path / "a", 0), build(tmp_path / "b", 1)
    first, second, heard = images(tmp_path / "a"), images(tmp_path / "b"), []
    assert first != second
    assert images(tmp_path / "a", heard=heard.append) == first, "each folder has its copy"
    assert images(tmp_path / "b", heard=heard.append) == second
    assert heard == [f"data: tiny/1.0.0 from {a.resolve()}", f"data: tiny/1.0.0 from {b.resolve()}"]
    info = datasets.describe("tiny", data_dir=str(tmp_path / "b"))
    assert (info.source, info.folder) == ("tensorflow_datasets tiny/1.0.0", str(b.resolve()))


def test_files_rebuilt_in_place_are_decoded_again_and_the_old_copy_is_removed(
    empty_cache, tmp_path
):
    build(tmp_path / "other", 2)
    images(tmp_path / "other")
    prepared, found = build(tmp_path, 0), []
    found.append(images(tmp_path))
    build(tmp_path, 1)
    found.append(images(tmp_path))
    assert found[0] != found[1]
    for file in prepared.iterdir():  # the same content at another time
        os.utime(file, (1, 1))
    assert images(tmp_path) == found[1]
    assert sorted(copy.info.folder for copy in cache.copies()) == sorted(
        [str(prepared.resolve()), str((tmp_path / "other" / "tiny" / "1.0.0").resolve())]
    )
    assert len(list(empty_cache.glob("data/*/"))) == 2


def test_configurations_in_nested_folders_have_a_copy_each(empty_cache, tmp_path, no_tensorflow):
    small, large = build(tmp_path, 0, "small"), build(tmp_path, 1, "large")
    first, second = images(tmp_path, "tiny/small"), images(tmp_path, "tiny/large")
    assert first != second
    build(tmp_path, 2, "large")
    changed = images(tmp_path, "tiny/large")
    assert changed != second
    assert images(tmp_path, "tiny/small") == first
    assert {copy.info.folder for copy in cache.copies()} == {
        str(small.resolve()),
        str(large.resolve()),
    }
    no_tensorflow()
    assert images(tmp_path, "tiny/large:1.0.0") == changed
    assert images(tmp_path, "tiny/small") == first


def test_without_tensorflow_a_copy_of_other_files_is_not_used(empty_cache, tmp_path, no_tensorflow):
    prepared, elsewhere = build(tmp_path, 0), build(tmp_path / "b", 1)
    first, second = images(tmp_path), images(tmp_path / "b")
    build(tmp_path, 3)
    no_tensorflow()
    with pytest.raises(InputError, match=f"'tiny', as prepared in {prepared}, is not decoded in "):
        images(tmp_path)
    assert images(tmp_path / "b") == second

    # the prepared folders are gone: which copy is meant must be clear
    shutil.rmtree(prepared)
    shutil.rmtree(elsewhere)
    with pytest.raises(InputError) as error:
        images(tmp_path / "c")
    assert str(error.value) == (
        f"Data set 'tiny' was decoded with different images from {tmp_path}, {tmp_path / 'b'}."
        " Pass one of them as --data-dir."
    )
    heard: list[str] = []
    assert images(tmp_path, heard=heard.append) == first
    assert images(tmp_path / "b") == second
    assert heard == [
        f"data: tiny/1.0.0 from {prepared.resolve()}, decoded earlier; the folder is not there now"
    ]


def test_copies_of_another_format_are_not_used(empty_cache, tmp_path):
    empty_cache.mkdir()
    for name in ("tiny-1.0.0-train-x.npy", "tiny-1.0.0-train.json", "tiny-1.0.0.info"):
        (empty_cache / name).write_text("{}")
    folder = empty_cache / "data" / "tiny-1.0.0-0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("[]")
    build(tmp_path, 0)
    assert len(images(tmp_path)) == 42 * 16
    assert len(cache.copies()) == 1


def test_results_older_than_the_record_of_images_are_named_once(tmp_path):
    (tmp_path / "units").mkdir()
    said: list[str] = []
    data = datasets.load("digits")
    same_images(tmp_path / "fresh", data, said.append)
    (tmp_path / "units" / "a.json").touch()
    same_images(tmp_path, data, said.append)
    same_images(tmp_path, data, said.append)
    assert len(said) == 1
    assert f"results in {tmp_path} do not say which images" in said[0]


def test_results_made_from_other_images_are_not_resumed(empty_cache, tmp_path):
    run, folder = tmp_path / "run", str(tmp_path)
    run.mkdir()
    build(tmp_path, 0)
    same_images(run, datasets.load("tiny", data_dir=folder))
    same_images(run, datasets.load("tiny", data_dir=folder))
    same_images(run, datasets.load("digits"))
    prepared = build(tmp_path, 1)
    same_images(run, datasets.load("tiny", data_dir=folder, train_limit=5))
    with pytest.raises(InputError) as error:
        same_images(run, datasets.load("tiny", data_dir=folder))
    assert str(error.value) == (
        f"{run} holds results made from other images: those of tiny/1.0.0, now read from"
        f" {prepared.resolve()}, have changed. Pass --fresh or another --out, or remove {run}."
    )
    record = json.loads((run / "data.json").read_text())
    assert [(r["name"], r["train_images"]) for r in record] == [
        ("tiny", 30),
        ("digits", 1200),
        ("tiny", 5),
    ]
    (run / "data.json").write_text('{"name"')
    with pytest.raises(InputError, match=r"data\.json, which names the images used, is damaged"):
        same_images(run, datasets.load("digits"))
