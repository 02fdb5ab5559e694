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
# # Is my model robust?
#
# How to measure the adversarial robustness of a Keras classifier, and how to tell a robust model
# from one on which the attacks fail.

# %% [markdown]
# ## Introduction
#
# A classifier that is right on test images may be wrong on images that hardly differ from them.
# *Robust accuracy* is the share of test images that stay correct whatever is changed within a small
# radius $\epsilon$:
#
# $$\frac{1}{n} \sum_i \; \min_{\|x' - x_i\| \le \epsilon} \; [f(x') = y_i]$$
#
# Nobody can try every $x'$. An attack tries some, so what it finds is an upper bound: a weak
# attack, or one that a model hinders, makes any model look robust. This guide takes one network
# through
#
# 1. a simple attack, beside random noise of the same size,
# 2. an ensemble of strong attacks, AutoAttack, with warnings where its number is not to be
#    believed,
# 3. accuracy over the radius, beside a network that was trained to be robust,
# 4. a network that only looks robust because it hides its gradients, and how to detect that.
#
# It runs on TensorFlow and on JAX.

# %% [markdown]
# ## Setup

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # nothing about how TensorFlow was built

import keras

import pellucid

keras.utils.set_random_seed(0)
print("Keras", keras.__version__, "on", keras.backend.backend())

# %% [markdown]
# ## A classifier
#
# The data are scikit-learn's digits, images of eight by eight pixels that need no download. Any
# Keras model from images to one output per class will do. This one takes pixels in [0, 1] and
# outputs logits; for other models, every function below has the arguments `scale` and `logits`.

# %%
data = pellucid.load_data("digits")
model = keras.Sequential(
    [
        keras.Input(data.info.shape),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
)
model.compile(
    "adam",
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(data.x_train / 255, data.y_train, batch_size=50, epochs=20, verbose=0)

x, y = data.x_test[:200], data.y_test[:200]


def accuracy(model, x):
    return model.evaluate(x, y, verbose=0)[1]


print(f"accuracy on test images: {accuracy(model, x / 255):.3f}")

# %% [markdown]
# ## A simple attack, and noise of the same size
#
# PGD takes a few steps uphill on the loss and projects each back to the ball around the image.
# Radii are in pixel units, where an image lies in [0, 1]: here no pixel may change by more than a
# tenth of the range. Noise of the same norm is the control. If it did as much harm, the radius
# would be too large to say anything about adversaries.

# %%
EPSILON = 0.1
x_noise = pellucid.attack("noise", model, x, y, norm="linf", epsilon=EPSILON)
x_pgd = pellucid.attack("pgd", model, x, y, norm="linf", epsilon=EPSILON, steps=40)
print(f"accuracy under noise: {accuracy(model, x_noise):.3f}")
print(f"accuracy under PGD:   {accuracy(model, x_pgd):.3f}")

# %% tags=["remove-cell"]
assert accuracy(model, x_noise) > accuracy(model, x / 255) - 0.05
assert accuracy(model, x_pgd) < accuracy(model, x_noise) - 0.2

# %% [markdown]
# Noise is harmless, the adversary is not. To the eye they are alike:

# %%
pellucid.plot_maps(
    x[:2],
    {"noise": x_noise[:2], "PGD": x_pgd[:2]},
    titles=[f"label {label}" for label in y[:2]],
)

# %% [markdown]
# ## A strong evaluation
#
# `pellucid.evaluate` runs PGD and AutoAttack ([Croce and Hein](https://arxiv.org/abs/2003.01690)):
# two gradient attacks that choose their own step sizes, one that looks for the nearest boundary,
# and one that needs no gradient. Each gets the images that resisted those before it. The result is
# a table with intervals, an object with `.to_frame()` and `.to_json()`, and a figure.

# %%
evaluation = pellucid.evaluate(model, x, y, norm="linf", epsilon=EPSILON, verbose=False)
evaluation

# %%
evaluation.plot()

# %% [markdown]
# The row *PGD and AutoAttack* is the number to report, with the radius, the number of images and
# the attacks. The line below the table says whether anything speaks against it. That it has no
# warnings does not prove the number: it is still an upper bound.

# %% tags=["remove-cell"]
assert evaluation.flags == ()
assert evaluation.worst_case.correct <= evaluation.autoattack.correct

# %% [markdown]
# ## Accuracy over the radius
#
# One radius is one point of a curve. `robustness_curve` attacks several models at several radii.
# Beside ours stands a network of the library's zoo that was trained against an adversary
# (`pellucid.list_models()` has all of them).

# %%
robust = pellucid.load_model("digits/linf-0.12")
RADII = [0.025, 0.05, 0.1, 0.15, 0.2, 0.4]
curve = pellucid.robustness_curve(
    {"ours": model, "adversarially trained": robust},
    x,
    y,
    norm="linf",
    epsilons=RADII,
    verbose=False,
)
curve

# %%
curve.plot()

# %% [markdown]
# Two things to look for. A curve must fall, and reach zero once the ball is so large that any image
# in it can be turned into another. And where the intervals of two curves are apart, one network is
# more robust than the other at that radius and under this attack.

# %% tags=["remove-cell"]
frame = curve.to_frame()
wide = frame.pivot(index="epsilon", columns="model", values="accuracy")
ends = frame.set_index(["model", "epsilon"])
assert (wide.diff().dropna() <= 0).all().all()
assert (wide.loc[0.4] < 0.05).all()
assert ends.loc[("adversarially trained", 0.1), "low"] > ends.loc[("ours", 0.1), "high"]

# %% [markdown]
# ## A model that only looks robust
#
# Now we put a layer in front of the same network that rounds each pixel to one of a few grey
# values. To round is to be flat: the gradient with respect to the pixels is zero nearly everywhere,
# and an attack that climbs it stands still. Such *gradient masking* broke many published defences
# ([Athalye et al.](https://arxiv.org/abs/1802.00420)).

# %%
LEVELS = 16
pixels = keras.Input(data.info.shape)
masked = keras.Model(pixels, model(keras.ops.round(pixels * LEVELS) / LEVELS))
masked.compile(loss=model.loss, metrics=["accuracy"])
print(f"accuracy on test images: {accuracy(masked, x / 255):.3f}")
zero = (pellucid.input_gradient(masked, x, y) == 0).all(axis=(1, 2, 3))
print(f"images with a gradient of zero: {zero.sum()} of {len(x)}")

# %% [markdown]
# By PGD alone this would be the most robust network of the three, above all at large radii:

# %%
curve_of_masked = pellucid.robustness_curve(
    {"ours": model, "adversarially trained": robust, "masked gradients": masked},
    x,
    y,
    norm="linf",
    epsilons=RADII,
    verbose=False,
)
curve_of_masked.plot()

# %% [markdown]
# The figure has the sign already: the curve hardly falls, even at radii where one can paint any
# digit over another. `evaluate` has more signs. It runs an attack that needs no gradient and
# compares.

# %%
evaluation_of_masked = pellucid.evaluate(
    masked, x, y, norm="linf", epsilon=EPSILON, verbose=False
)
evaluation_of_masked

# %% [markdown]
# Each warning names what it rests on; the evidence is in `flags`.

# %%
for flag in evaluation_of_masked.flags:
    print(flag.name)
    print("   ", ", ".join(f"{what}: {value}" for what, value in flag.evidence.items()))

# %% [markdown]
# One can also attack the network without the layer, which has gradients, and show the result to the
# network with it.

# %%
print(
    f"masked network under PGD on itself:             {evaluation_of_masked.pgd.accuracy:.3f}"
)
print(f"masked network under PGD on the network inside: {accuracy(masked, x_pgd):.3f}")

# %% tags=["remove-cell"]
names = {flag.name for flag in evaluation_of_masked.flags}
assert {"zero_gradients", "black_box_beats_gradient", "accuracy_does_not_fall"} <= names
assert evaluation_of_masked.pgd.low > evaluation_of_masked.autoattack.high
frame = curve_of_masked.to_frame().pivot(
    index="epsilon", columns="model", values="accuracy"
)
assert (frame.loc[0.1:].idxmax(axis=1) == "masked gradients").all()
assert frame.loc[0.4, "masked gradients"] > 0.5
assert evaluation_of_masked.worst_case.high < evaluation.worst_case.high
assert accuracy(masked, x_pgd) < evaluation_of_masked.pgd.low

# %% [markdown]
# ## Conclusions
#
# - Noise of the same norm left our network nearly as it was; PGD did not. Robustness to noise says
#   little of robustness to an adversary.
# - The number to report is that under all attacks together, with its interval, the radius and the
#   number of images.
# - High accuracy under a gradient attack does not show that a network is robust. Rounding the
#   pixels raised it far above that of the network inside, though an attack without gradients, or
#   with those of the network inside, found adversarial examples for most of the same images.
# - So look at the warnings before the number, and at the curve: it must fall to zero.
#
# What the numbers do not say: they are of one small network from one seed, on digits; and they are
# upper bounds, as all robust accuracies found by attacks are.
#
# ## Where next
#
# - [Adversarial training in `fit`](adversarial_training.py): make a network robust.
# - [Is it interpretable?](interpretable.py): what a network's gradients show, and what else could
#   give the same score.
# - In a terminal, on a saved model: `pellucid evaluate my_cnn.keras --data digits --norm linf
#   --epsilon 0.1`.
