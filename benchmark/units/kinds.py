"""The work of each kind of unit: specification in, result out.

A unit reads its specification, the data, and the results it needs, and nothing else: no
configuration, no clock, no global random state. So it gives the same bytes whenever and wherever on
a machine it runs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from robust_interpretability import models
from robust_interpretability.attacks.attack import Attack
from robust_interpretability.attacks.attack import run as run_attack
from robust_interpretability.benchmark.robustness import accuracy as robust_accuracy
from robust_interpretability.benchmark.robustness import radii
from robust_interpretability.benchmark.training import batched, precision_check
from robust_interpretability.benchmark.training.classifier import (
    Mask,
    fit,
    predicted_classes,
    train,
)
from robust_interpretability.benchmark.training.vae_gan import fit_vae_gan
from robust_interpretability.benchmark.units.context import Context, derived_seed
from robust_interpretability.benchmark.units.plan import UNTOUCHED, Unit
from robust_interpretability.benchmark.units.store import Result
from robust_interpretability.metrics import attributions, densities, manifold
from robust_interpretability.metrics.tilt import tilt
from robust_interpretability.models.functional import predict
from robust_interpretability.models.vae_gan import VaeGan


def _agreement(spec: dict[str, Any], c: Context) -> Result:
    y = c.data.y_test

    def hits(attack: dict[str, Any] | None, compute: str, number: int) -> int:
        seed = derived_seed("agreement", number)
        options = spec["training"] | {
            "compute": compute,
            "attack": Attack(**attack) if attack else None,
        }
        model = c.initial(spec["model"], seed)
        values, _ = train(model, c.x_train, c.data.y_train, seed=seed, **options)
        return int((predicted_classes(model, c.data.x_test, values=values) == y).sum())

    compute = spec["training"]["compute"]
    networks = precision_check.compare(hits, spec["attacks"], compute, spec["seeds"], len(y))
    return Result({"networks": networks, "examples": len(y)})


def _must_agree(spec: dict[str, Any], c: Context) -> None:
    """Raises `InputError` where a training rests on an agreement that there is not."""
    if "agreement" in spec:
        precision_check.require(
            c.values(spec["agreement"])["networks"], spec["training"]["compute"]
        )


def _train(spec: dict[str, Any], c: Context) -> Result:
    _must_agree(spec, c)
    seed = derived_seed("train", spec["seed"])
    model = c.build(spec["model"], seed)
    attack = Attack(**spec["attack"]) if spec["attack"] else None
    trained = fit(model, c.x_train, c.data.y_train, seed=seed, attack=attack, **spec["training"])
    return Result(
        {"history": [epoch._asdict() for epoch in trained.history]}, models={"model": trained.model}
    )


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
    codes = np.random.default_rng(derived_seed("prior samples")).standard_normal(
        (spec["shown"], vae_gan.latent)
    )
    values = {
        "history": [epoch._asdict() for epoch in history],
        "mean_squared_error": float(np.mean((x - projection) ** 2, dtype=np.float64)),
        "pca_mean_squared_error": pca_error(c.data.x_train, c.data.x_test, vae_gan.latent),
        "variance": float(
            np.mean((x - np.mean(x, axis=0, dtype=np.float64)) ** 2, dtype=np.float64)
        ),
    }
    samples = predict(vae_gan.decoder, codes.astype(np.float32))
    arrays = {"images": x[shown], "projections": projection[shown], "samples": samples}
    return Result(values, arrays, {"encoder": vae_gan.encoder, "decoder": vae_gan.decoder})


def pca_error(x_train: np.ndarray, x_test: np.ndarray, components: int) -> float:
    """Mean squared error on test images, in [0, 1], of a PCA fitted to at most 10,000 training images."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    train, test = (
        v[:10_000].reshape(len(v[:10_000]), -1) / np.float32(255) for v in (x_train, x_test)
    )
    with threadpool_limits(
        1
    ):  # a sum over several threads has another order on a machine with other cores
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
    norms = (
        np.abs(flat).max(1)
        if attack.norm == "linf"
        else np.sqrt((flat.astype(np.float64) ** 2).sum(1))
    )

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
    x_noise = run_attack(
        noise, model, x, y, epsilon=norms.astype(np.float32), seed=derived_seed("manifold noise")
    )
    distances = {}
    for name, images in (("clean", x), ("adversarial", x_adv), ("noise", x_noise)):
        seed = derived_seed("posterior", name) if spec["sample_posterior"] else None
        distances[f"{name}_distance"] = manifold.manifold_distance(
            images, vae_gan, sample_seed=seed
        )
    clean_class, adversarial_class = (
        predicted_classes(standard, x),
        predicted_classes(standard, x_adv),
    )
    kept = densities.kept(clean_class, adversarial_class)
    changed = predicted_classes(model, x) != predicted_classes(model, x_adv)
    values = {
        "kept": int(kept.sum()),
        "examples": len(x),
        "fooled_own": int(changed.sum()),
        "mean_change": float(norms.mean()),
    }
    return Result(values, distances | {"kept": kept, "change": norms})


def _robustness(spec: dict[str, Any], c: Context) -> Result:
    source = c.model(spec["source"]) if spec["source"] else None
    options = {name: spec[name] for name in ("radii", "steps", "losses")}
    seed = derived_seed("robustness")
    model, data = c.model(spec["model"]), c.data
    return Result(
        radii.evaluate(model, data.x_test, data.y_test, source=source, seed=seed, **options)
    )


def _autoattack(spec: dict[str, Any], c: Context) -> Result:
    x, y = c.data.x_test[: spec["images"]], c.data.y_test[: spec["images"]]
    options = {name: spec[name] for name in ("norm", "epsilon", "version")}
    label = f"{spec['model']} {spec['norm']} {spec['epsilon']:g} {spec['version']}"
    found = robust_accuracy.evaluate(
        c.model(spec["model"]),
        x,
        y,
        **options,
        seed=derived_seed("autoattack"),
        kept=robust_accuracy.kept_in(c.store, spec, label),
    )
    return Result(found.values, found.arrays)


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
        arrays["adversarial"] = run_attack(
            Attack(**spec["attack"]), model, x, y, seed=derived_seed("pictures")
        )
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
    way, _ = batched.chosen()
    trained = batched.train_together(
        networks,
        x_train,
        c.data.y_train,
        seeds=seeds,
        masks=train_masks,
        way=way,
        **first["training"],
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
    arrays = {
        "x": x,
        "x_adv": x_adv,
        "others": c.data.x_test[~own],
        "class_means": means,
        "regions": regions,
    }
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
    "autoattack": _autoattack,
    "agreement": _agreement,
}


def perform(units: list[Unit], context: Context) -> list[Result]:
    """Does the work of one unit, or of several retrainings that share their ranks."""
    if len(units) > 1:
        return _retrain([unit.spec for unit in units], context)
    return [KINDS[unit.kind](unit.spec, context) for unit in units]


def units_at_once() -> int:
    """How many retrainings that share their ranks are best done together on this device."""
    return batched.chosen()[1]
