"""The work of each kind of unit: specification in, result out.

A unit reads its specification, the data, and the results it needs, and nothing else: no configuration, no clock, no
global random state. So it gives the same bytes whenever and wherever on a machine it runs.
"""

import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import keras
import numpy as np

import models
from attacks.attack import Attack
from attacks.attack import run as run_attack
from benchmark import agreement, robust_evaluation, together
from benchmark.datasets import Dataset
from benchmark.plan import BASELINE, UNTOUCHED, Plan, Unit
from benchmark.store import Result, Store
from benchmark.training import Mask, fit, predicted_classes, train
from benchmark.vae_gan_training import fit_vae_gan
from metrics import attributions, densities, manifold, ranking
from metrics.tilt import tilt
from models.batching import to_device
from models.functional import predict
from models.vae_gan import VaeGan


def derived_seed(*parts: Hashable) -> int:
    """A seed of 31 bits from a name and numbers: streams of different names do not meet."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1


class _Shared:
    """The few values used last, each made once even when several threads ask for it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values: OrderedDict[Hashable, Any] = OrderedDict()
        self.making: dict[Hashable, threading.Lock] = {}
        self.lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self.lock:
            turn = self.making.setdefault(key, threading.Lock())
        with turn:
            with self.lock:
                if key in self.values:
                    self.values.move_to_end(key)
                    return self.values[key]
            value = make()
            with self.lock:
                self.values[key] = value
                while len(self.values) > self.size:
                    self.making.pop(self.values.popitem(last=False)[0], None)
            return value


class Context:
    """What units share while a plan runs.

    Args:
        plan: The plan they are of.
        store: Where results they need are read.
        data: The data set.
    """

    def __init__(self, plan: Plan, store: Store, data: Dataset) -> None:
        self.store, self.data = store, data
        self._by_key = {unit.key: unit for unit in plan.units}
        self._models = _Shared(8)
        self._ranks = _Shared(3)

    @functools.cached_property
    def x_train(self) -> Any:
        """The training images on the device: one copy for all units."""
        return to_device(self.data.x_train)

    @functools.cached_property
    def white(self) -> Any:
        """White images on the device, as many as for training: masked, they are the masks alone."""
        return to_device(np.full_like(self.data.x_train, 255))

    def build(self, spec: dict[str, Any], seed: int) -> keras.Model:
        """A classifier at its initial weights, from a `model` specification."""
        info = self.data.info
        with models.KERAS_LOCK:
            return models.get(spec["name"])(info.shape, info.num_classes, seed=seed, width=spec["width"])

    def initial(self, spec: dict[str, Any], seed: int) -> keras.Model:
        """As `build`, one model for all who ask: to be read, not changed."""
        return self._models.get(("initial", *spec.values(), seed), lambda: self.build(spec, seed))

    def values(self, key: str) -> dict[str, Any]:
        """The stored values of a unit."""
        return self.store.values(self._by_key[key])

    def model(self, key: str, name: str = "model") -> keras.Model:
        """The stored model of a unit."""

        def load() -> keras.Model:
            with models.KERAS_LOCK:
                return keras.saving.load_model(self.store.model_path(self._by_key[key], name), compile=False)

        return self._models.get((key, name), load)

    def ranks(self, source: str | None, attribution: str, repeat: int) -> tuple[Any, np.ndarray]:
        """Ranks of the training (on the device) and the test images by an attribution of a base model, or at random."""

        def make() -> tuple[Any, np.ndarray]:
            train = self._rank("train", self.data.x_train, source, attribution, repeat)
            test = self._rank("test", self.data.x_test, source, attribution, repeat)
            # piece by piece to the device: there is never a whole copy on the host beside the one there
            return keras.ops.concatenate([to_device(piece) for piece in train]), np.concatenate(list(test))

        return self._ranks.get((source, attribution) if source else (BASELINE, repeat), make)

    def _rank(
        self, split: str, x: np.ndarray, source: str | None, attribution: str, repeat: int
    ) -> Iterator[np.ndarray]:
        n, h, w = x.shape[:3]
        shape = (n, h, w)
        if source is None:
            seed = derived_seed("random ranks", split, repeat)
            return ranking.pieces(lambda part: ranking.indifferent(part, shape), shape, seed=seed)
        model, seed = self.model(source), derived_seed("ties", split)
        return ranking.pieces(lambda part: attributions.run(attribution, model, x[part]), shape, seed=seed)

    @functools.cached_property
    def fill(self) -> np.ndarray:
        """What a removed pixel becomes."""
        return self.data.channel_means()


def _agreement(spec: dict[str, Any], c: Context) -> Result:
    y = c.data.y_test

    def hits(attack: dict[str, Any] | None, compute: str, number: int) -> int:
        seed = derived_seed("agreement", number)
        options = spec["training"] | {"compute": compute, "attack": Attack(**attack) if attack else None}
        model = c.initial(spec["model"], seed)
        values, _ = train(model, c.x_train, c.data.y_train, seed=seed, **options)
        return int((predicted_classes(model, c.data.x_test, values=values) == y).sum())

    compute = spec["training"]["compute"]
    networks = agreement.compare(hits, spec["attacks"], compute, spec["seeds"], len(y))
    return Result({"networks": networks, "examples": len(y)})


def _must_agree(spec: dict[str, Any], c: Context) -> None:
    """Raises `InputError` where a training rests on an agreement that there is not."""
    if "agreement" in spec:
        agreement.require(c.values(spec["agreement"])["networks"], spec["training"]["compute"])


def _train(spec: dict[str, Any], c: Context) -> Result:
    _must_agree(spec, c)
    seed = derived_seed("train", spec["seed"])
    model = c.build(spec["model"], seed)
    attack = Attack(**spec["attack"]) if spec["attack"] else None
    trained = fit(model, c.x_train, c.data.y_train, seed=seed, attack=attack, **spec["training"])
    return Result({"history": [epoch._asdict() for epoch in trained.history]}, models={"model": trained.model})


def _vae_gan(spec: dict[str, Any], c: Context) -> Result:
    section = dict(spec["vae_gan"])
    seed = derived_seed("vae-gan", spec["seed"])
    shape = {k: section.pop(k) for k in ("latent", "width")}
    with models.KERAS_LOCK:
        vae_gan = models.get(section.pop("name"))(c.data.info.shape, seed=seed, **shape)
    history = fit_vae_gan(vae_gan, c.x_train, seed=seed, **section)
    x = c.data.x_test / np.float32(255)
    projection = manifold.project(vae_gan, c.data.x_test)
    shown = slice(0, spec["shown"])
    codes = np.random.default_rng(derived_seed("prior samples")).standard_normal((spec["shown"], vae_gan.latent))
    values = {
        "history": [epoch._asdict() for epoch in history],
        "mean_squared_error": float(np.mean((x - projection) ** 2, dtype=np.float64)),
        "pca_mean_squared_error": pca_error(c.data.x_train, c.data.x_test, vae_gan.latent),
        "variance": float(np.mean((x - np.mean(x, axis=0, dtype=np.float64)) ** 2, dtype=np.float64)),
    }
    samples = predict(vae_gan.decoder, codes.astype(np.float32))
    arrays = {"images": x[shown], "projections": projection[shown], "samples": samples}
    return Result(values, arrays, {"encoder": vae_gan.encoder, "decoder": vae_gan.decoder})


def pca_error(x_train: np.ndarray, x_test: np.ndarray, components: int) -> float:
    """Mean squared error on test images, in [0, 1], of a PCA fitted to at most 10,000 training images."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    train, test = (v[:10_000].reshape(len(v[:10_000]), -1) / np.float32(255) for v in (x_train, x_test))
    with threadpool_limits(1):  # a sum over several threads has another order on a machine with other cores
        pca = PCA(min(components, *train.shape), svd_solver="covariance_eigh").fit(train)
        restored = pca.inverse_transform(pca.transform(test))
    return float(np.mean((test - restored) ** 2, dtype=np.float64))


def _accuracy(spec: dict[str, Any], c: Context) -> Result:
    model, x, y = c.model(spec["model"]), c.data.x_test, c.data.y_test
    attack = Attack(**spec["attack"])
    x_adv = run_attack(attack, model, x, y, seed=derived_seed("evaluation"))
    change = x_adv - x / np.float32(255) if x.dtype == np.uint8 else x_adv - x
    noise = Attack("noise", attack.norm, attack.epsilon)
    x_noise = run_attack(noise, model, x, y, seed=derived_seed("noise"))
    flat = change.reshape(len(change), -1)
    norms = np.abs(flat).max(1) if attack.norm == "linf" else np.sqrt((flat.astype(np.float64) ** 2).sum(1))

    def hits(images: np.ndarray, labels: np.ndarray) -> list[int]:
        return [int((predicted_classes(model, images) == labels).sum()), len(labels)]

    return Result(
        {
            "train": hits(c.data.x_train, c.data.y_train),
            "test": hits(x, y),
            "robust": hits(x_adv, y),
            "noise": hits(x_noise, y),
            "mean_change": float(norms.mean()),
        }
    )


def _manifold(spec: dict[str, Any], c: Context) -> Result:
    model, standard = c.model(spec["model"]), c.model(spec["standard"])
    vae_gan = VaeGan(c.model(spec["vae_gan"], "encoder"), c.model(spec["vae_gan"], "decoder"), None)
    x, y = c.data.x_test, c.data.y_test
    x_adv = run_attack(Attack(**spec["attack"]), model, x, y, seed=derived_seed("manifold"))
    change = (x_adv - x / np.float32(255)).reshape(len(x), -1)
    norms = np.sqrt(np.sum(change**2, axis=1, dtype=np.float64))
    noise = Attack("noise", "l2", spec["attack"]["epsilon"])
    x_noise = run_attack(noise, model, x, y, epsilon=norms.astype(np.float32), seed=derived_seed("manifold noise"))
    distances = {}
    for name, images in (("clean", x), ("adversarial", x_adv), ("noise", x_noise)):
        seed = derived_seed("posterior", name) if spec["sample_posterior"] else None
        distances[f"{name}_distance"] = manifold.manifold_distance(images, vae_gan, sample_seed=seed)
    clean_class, adversarial_class = predicted_classes(standard, x), predicted_classes(standard, x_adv)
    kept = densities.kept(clean_class, adversarial_class)
    changed = predicted_classes(model, x) != predicted_classes(model, x_adv)
    values = {"kept": int(kept.sum()), "examples": len(x), "fooled_own": int(changed.sum()),
              "mean_change": float(norms.mean())}  # fmt: skip
    return Result(values, distances | {"kept": kept, "change": norms})


def _robustness(spec: dict[str, Any], c: Context) -> Result:
    source = c.model(spec["source"]) if spec["source"] else None
    options = {name: spec[name] for name in ("radii", "steps", "losses")}
    seed = derived_seed("robustness")
    model, data = c.model(spec["model"]), c.data
    return Result(robust_evaluation.evaluate(model, data.x_test, data.y_test, source=source, seed=seed, **options))


def shown_images(y: np.ndarray, count: int) -> np.ndarray:
    """Indices of the first `count` test images of different classes, while classes last."""
    _, first = np.unique(y, return_index=True)
    return np.sort(first)[:count]


def _pictures(spec: dict[str, Any], c: Context) -> Result:
    model = c.model(spec["model"])
    index = shown_images(c.data.y_test, spec["images"])
    x, y = np.ascontiguousarray(c.data.x_test[index]), c.data.y_test[index]
    arrays = {
        "images": x / np.float32(255),
        "maps": attributions.run("log_likelihood_gradient", model, x),
        "labels": y,
        "predicted": predicted_classes(model, x),
    }
    if spec["attack"]:
        arrays["adversarial"] = run_attack(Attack(**spec["attack"]), model, x, y, seed=derived_seed("pictures"))
        arrays["adversarial_predicted"] = predicted_classes(model, arrays["adversarial"])
    return Result({"index": index.tolist()}, arrays)


def _retrain(specs: list[dict[str, Any]], c: Context) -> list[Result]:
    """Retrainings that share their ranks: they differ in mode, fraction and repeat alone."""
    first = specs[0]
    _must_agree(first, c)
    x_train, x_test, fill = c.x_train, c.data.x_test, c.fill
    if first.get("content") == "mask":
        x_train, x_test, fill = c.white, np.full_like(x_test, 255), np.zeros_like(fill)
    train_masks: list[Mask] | None = None
    test_masks: list[Mask | None] = [None] * len(specs)
    if first["attribution"] != UNTOUCHED:
        train_ranks, test_ranks = c.ranks(first["source"], first["attribution"], first["repeat"])
        train_masks = [Mask(train_ranks, spec["fraction"], spec["mode"], fill) for spec in specs]
        test_masks = [Mask(test_ranks, spec["fraction"], spec["mode"], fill) for spec in specs]
    seeds = [derived_seed("retrain", spec["repeat"]) for spec in specs]
    networks = [c.initial(first["model"], seed) for seed in seeds]
    way, _ = together.chosen()
    trained = together.train_together(
        networks, x_train, c.data.y_train, seeds=seeds, masks=train_masks, way=way, **first["training"]
    )
    out = []
    for model, (values, _), mask, seed in zip(networks, trained, test_masks, seeds, strict=True):
        right = predicted_classes(model, x_test, mask=mask, values=values) == c.data.y_test
        out.append(Result({"hits": int(right.sum()), "examples": len(right), "seed": seed}))
    return out


DECISION_GRID = 161
"""Points a side at which decision regions in the plane are kept."""


def _tilt(spec: dict[str, Any], c: Context) -> Result:
    model = c.model(spec["model"])
    own = c.data.y_test == spec["class"]
    x, y = np.ascontiguousarray(c.data.x_test[own]), c.data.y_test[own]
    x_adv = run_attack(Attack(**spec["attack"]), model, x, y, seed=derived_seed("tilt"))
    means = np.array([c.data.x_train[c.data.y_train == k].mean(0) for k in range(2)], np.float64)
    side = np.linspace(0, 1, DECISION_GRID, dtype=np.float32)
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    values = {
        "angle": tilt(x, x_adv, means[1] - means[0]),
        "mean_change": float(np.linalg.norm(x_adv.astype(np.float64) - x, axis=1).mean()),
        "fooled": int((predicted_classes(model, x_adv) != y).sum()),
        "examples": len(x),
    }
    regions = predicted_classes(model, plane).reshape(DECISION_GRID, DECISION_GRID).astype(np.uint8)
    arrays = {"x": x, "x_adv": x_adv, "others": c.data.x_test[~own], "class_means": means, "regions": regions}
    return Result(values, arrays)


KINDS: dict[str, Callable[[dict[str, Any], Context], Result]] = {
    "train": _train,
    "vae_gan": _vae_gan,
    "accuracy": _accuracy,
    "manifold": _manifold,
    "pictures": _pictures,
    "retrain": lambda spec, c: _retrain([spec], c)[0],
    "tilt": _tilt,
    "robustness": _robustness,
    "agreement": _agreement,
}


def perform(units: list[Unit], context: Context) -> list[Result]:
    """Does the work of one unit, or of several retrainings that share their ranks."""
    if len(units) > 1:
        return _retrain([unit.spec for unit in units], context)
    return [KINDS[unit.kind](unit.spec, context) for unit in units]


def units_at_once() -> int:
    """How many retrainings that share their ranks are best done together on this device."""
    return together.chosen()[1]
