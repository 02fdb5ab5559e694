# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Adversarial training in `fit`
#
# How to train a Keras classifier against an adversary with `compile` and `fit`, watch its
# robustness and its gradients while it trains, and let Keras' own callbacks stop it and keep the
# best weights.

# %% [markdown]
# ## Introduction
#
# Adversarial training minimises the loss on the worst image near each training image:
#
# $$\min_w \; \frac{1}{n} \sum_i \; \max_{\|x' - x_i\| \le \epsilon} \; \ell(f_w(x'), y_i)$$
#
# The inner maximum is found roughly, by a few steps of projected gradient descent (PGD) against the
# present weights ([Madry et al.](https://arxiv.org/abs/1706.06083)). `pellucid.AdversarialModel`
# wraps a Keras model so that `fit` does this for every batch. All the rest is Keras': the
# optimizer, the data, sample weights, precision, callbacks.
#
# Two callbacks measure after each epoch and write what they find into the epoch's logs, where
# `CSVLogger`, `EarlyStopping` and `ModelCheckpoint` look for it:
#
# - `pellucid.callbacks.RobustAccuracy`: accuracy under an attack,
# - `pellucid.callbacks.Interpretability`: properties of the gradient maps.

# %% [markdown]
# ## Setup

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # no lines about TensorFlow's own build

import tempfile
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import pandas as pd

import pellucid

keras.utils.set_random_seed(0)
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# The data are scikit-learn's digits: images of eight by eight pixels that come with the library.
# Early stopping and checkpoints choose weights by what the callbacks measure, so these must not see
# the test images. We hold out a part of the training images for them.

# %%
data = pellucid.load_data("digits")
x_train, y_train = data.x_train[:900] / 255, data.y_train[:900]
x_held, y_held = data.x_train[900:] / 255, data.y_train[900:]
x_test, y_test = data.x_test / 255, data.y_test
print(
    len(x_train),
    "to train on,",
    len(x_held),
    "to choose by,",
    len(x_test),
    "to test on",
)

# %% [markdown]
# Any Keras classifier will do. This one has two convolutions and outputs logits.


# %%
def build():
    return keras.Sequential(
        [
            keras.Input(data.info.shape),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
NORM, EPSILON = "linf", 0.15

# %% [markdown]
# ## Standard training, with its robustness in view
#
# The callbacks need nothing from this library's training. We first put them into the `fit` of a
# plain Keras model. Radii are in pixel units, where an image lies in [0, 1].


# %%
def measured():
    return [
        pellucid.callbacks.RobustAccuracy(x_held, y_held, NORM, EPSILON),
        pellucid.callbacks.Interpretability(x_held),
    ]


standard = build()
standard.compile("adam", LOSS, metrics=["accuracy"])
standard.fit(
    x_train,
    y_train,
    batch_size=50,
    epochs=25,
    validation_data=(x_held, y_held),
    callbacks=[*measured(), keras.callbacks.CSVLogger(folder / "standard.csv")],
    verbose=0,
)
standard_log = pd.read_csv(folder / "standard.csv")
standard_log[["epoch", "accuracy", "val_accuracy", "val_robust_accuracy"]].tail(
    3
).round(3)

# %% [markdown]
# `val_accuracy` is Keras', `val_robust_accuracy` is accuracy on the same images under ten steps of
# PGD. The network classifies most images correctly, and loses most of them again when an adversary
# may change each pixel by `EPSILON`.

# %% tags=["remove-cell"]
last = standard_log.iloc[-1]
assert last["val_accuracy"] > 0.9
assert last["val_robust_accuracy"] < last["val_accuracy"] / 2

# %% [markdown]
# ## Adversarial training
#
# Wrap the model, compile the wrapper, and fit it. `compile` and `fit` take what they take for any
# model.

# %%
model = build()
robust = pellucid.AdversarialModel(model, "pgd", norm=NORM, epsilon=EPSILON, steps=5)
robust.compile("adam", LOSS, metrics=["accuracy"])

# %% [markdown]
# Keras' callbacks find `val_robust_accuracy` in the logs like any other name, wherever they stand
# in the list. Here training stops when it has not risen for some epochs, and the weights with which
# it was highest go to a file.

# %%
callbacks = [
    *measured(),
    keras.callbacks.CSVLogger(folder / "robust.csv"),
    keras.callbacks.EarlyStopping("val_robust_accuracy", patience=8),
    keras.callbacks.ModelCheckpoint(
        folder / "best.keras", "val_robust_accuracy", save_best_only=True
    ),
]
robust.fit(
    x_train,
    y_train,
    batch_size=50,
    epochs=60,
    validation_data=(x_held, y_held),
    callbacks=callbacks,
    verbose=0,
)
robust_log = pd.read_csv(folder / "robust.csv")
print("epochs:", len(robust_log))
robust_log[["epoch", "accuracy", "val_accuracy", "val_robust_accuracy"]].tail(3).round(
    3
)

# %% [markdown]
# `accuracy` now is that on the adversarial examples which the network was trained on.
# `val_accuracy` is that of the plain model on the images held out, as before.

# %% [markdown]
# ## Curves
#
# The files of `CSVLogger` have everything, epoch by epoch.

# %%
logs = {"standard": standard_log, "adversarial": robust_log}
colours = {"standard": "black", "adversarial": "#D55E00"}  # L∞ in every figure


def draw(names):
    _, axes = plt.subplots(
        1, len(names), figsize=(3.6 * len(names), 3), layout="constrained"
    )
    for axis, (name, title) in zip(axes, names.items(), strict=True):
        for training, log in logs.items():
            axis.plot(log["epoch"], log[name], color=colours[training], label=training)
        axis.set(title=title, xlabel="epoch")
    axes[0].legend(title="training")


draw({"val_accuracy": "accuracy", "val_robust_accuracy": "accuracy under PGD"})
plt.show()

# %% [markdown]
# Standard training reaches its accuracy within a few epochs. Robust accuracy rises at first, and
# then falls while accuracy still grows. Adversarial training is slower, and gains both.
#
# `Interpretability` has written three properties of the gradient maps into the same file: the Gini
# index (how few pixels hold most of a map), the total variation (how much neighbouring pixels
# differ), and the alignment of image and gradient.

# %%
draw(
    {
        "val_gini_gradient": "Gini index",
        "val_total_variation_gradient": "total variation",
        "val_alignment": "alignment",
    }
)
plt.show()

# %% [markdown]
# With adversarial training the maps become sparser, and neighbouring pixels differ more; with
# standard training they go the other way. Whether that makes them better explanations, no such
# number says: a map can be sparse, or like the image, and yet not show what the network uses. That
# needs measures with a control, which are the subject of [another guide](interpretable.py).

# %% tags=["remove-cell"]
first, final = standard_log["val_robust_accuracy"].iloc[:8].max(), standard_log.iloc[-1]
reached = {name: log["val_accuracy"].gt(0.9).idxmax() for name, log in logs.items()}
assert final["val_robust_accuracy"] < first - 0.05
assert final["val_accuracy"] > standard_log["val_accuracy"].iloc[7]
assert robust_log["val_robust_accuracy"].max() > first + 0.1
assert reached["standard"] < 10
assert reached["standard"] < reached["adversarial"]
for name in ("val_gini_gradient", "val_total_variation_gradient"):
    assert final[name] < standard_log[name].max()
    assert robust_log[name].iloc[-1] > robust_log[name].iloc[3]
    assert robust_log[name].iloc[-1] > standard_log[name].max()

# %% [markdown]
# ## The weights that were kept
#
# `ModelCheckpoint` has saved the plain model, without the wrapper: a file of stock layers that
# Keras loads where this library is not installed. We test it, on images that had no part in the
# choice, by stronger attacks than those it was trained and chosen with.

# %%
kept = keras.saving.load_model(folder / "best.keras")
networks = {"standard": standard, "adversarial": kept}
evaluations = {
    name: pellucid.evaluate(
        network, x_test[:150], y_test[:150], norm=NORM, epsilon=EPSILON, verbose=False
    )
    for name, network in networks.items()
}
accuracies = {
    name: found.to_frame().set_index("attack") for name, found in evaluations.items()
}
pd.DataFrame({name: frame["accuracy"] for name, frame in accuracies.items()}).round(3)

# %%
for name, found in evaluations.items():
    print(name, *found.notes(), sep=": ")

# %% tags=["remove-cell"]
assert not any(found.flags for found in evaluations.values())
apart = {name: found.worst_case for name, found in evaluations.items()}
assert apart["adversarial"].low > apart["standard"].high

# %% [markdown]
# ## The same training by `pellucid.fit`
#
# The library has a training function of its own. It has no callbacks and one optimizer, Adam; the
# attack and the step are one compiled program. It shares the attack with `AdversarialModel`, and,
# given the same batches, takes the same steps.

# %%
own = build()
began = time.perf_counter()
history = pellucid.fit(
    own,
    x_train,
    y_train,
    attack=pellucid.Attack("pgd", NORM, EPSILON, steps=5),
    epochs=len(robust_log),
    batch_size=50,
    verbose=False,
)
print(f"{len(robust_log)} epochs in {time.perf_counter() - began:.1f} s")
history.plot()

# %%
evaluations["pellucid.fit"] = pellucid.evaluate(
    own, x_test[:150], y_test[:150], norm=NORM, epsilon=EPSILON, verbose=False
)
rows = {name: vars(found.worst_case) for name, found in evaluations.items()}
pd.DataFrame.from_dict(rows, orient="index").drop(columns="attack").round(3)

# %% [markdown]
# The table has accuracy under PGD and AutoAttack together. Where the intervals of two rows overlap,
# these images do not tell the two apart; and each row is of one training from one seed.

# %% tags=["remove-cell"]
assert evaluations["pellucid.fit"].worst_case.low > apart["standard"].high

# %% [markdown]
# ## Conclusions
#
# - Standard training left this network accurate and not robust, however long it went on.
# - Adversarial training raised its robust accuracy by more than the intervals allow for, as tested
#   by attacks that it was not trained against.
# - `AdversarialModel` is for what `fit` offers: callbacks, any optimizer, `tf.data`, sample
#   weights, mixed precision, distribution. `pellucid.fit` is for a training in one line.
#
# The radius, the steps of the attack and the architecture were chosen for speed; for results worth
# reporting, vary the seed.
#
# ## Where next
#
# - [Is my model robust?](robust.py): what to believe of an evaluation.
# - [The trade-off, regenerated](trade_off.py): what robustness costs, over a grid of networks.
# - [Submit](submit.py): put a trained model on a leaderboard.
