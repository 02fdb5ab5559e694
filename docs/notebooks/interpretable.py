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
# # Is it interpretable?
#
# How to measure whether a classifier's gradients show which pixels it uses, and what else could
# give the same score.

# %% [markdown]
# ## Introduction
#
# The gradient of a network's output with respect to the pixels is often shown as an explanation: a
# map of the pixels that matter. Networks trained against an adversary have maps that look better.
# Are they better? A score can be high for reasons that have nothing to do with a good explanation.
# So each score in this guide stands beside controls: orders of the pixels that know less than the
# map does.
#
# - **ROAR** ([Hooker et al.](https://arxiv.org/abs/1806.10758)) removes the pixels that the map
#   ranks highest from all images and retrains. If the network needed them, accuracy falls by more
#   than without random pixels.
# - **KAR** ([Kim et al.](https://arxiv.org/abs/1903.11626)) keeps only those pixels and retrains.
#   If they suffice, accuracy stays higher than with random pixels.
#
# | control | what it keeps of the map | if it scores as well |
# | --- | --- | --- |
# | random order | nothing | the baseline of both scores |
# | mean training map | where the network looks | the score sees the centre |
# | another image's map | all but the image | the score sees central, smooth spots |
# | another map of the class | all but the image and its class | it sees the shape of a class |
# | masks alone (KAR) | which pixels are kept, not their values | the shape tells the class |

# %% [markdown]
# ## Setup

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # nothing about how TensorFlow was built

import keras
import numpy as np
import pandas as pd

import pellucid

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Two networks
#
# From the library's zoo come two networks of one architecture, trained on scikit-learn's digits:
# one in the usual way, one against an adversary.

# %%
data = pellucid.load_data("digits")
networks = pellucid.load_models("digits", ["standard", "linf-0.2"])
for name, network in networks.items():
    predicted = network.predict(data.x_test / 255, verbose=0).argmax(axis=1)
    print(f"{name}: accuracy {np.mean(predicted == data.y_test):.3f}")

# %% [markdown]
# ## Maps
#
# `pellucid.attribute` computes maps, `plot_maps` draws them beside their images;
# `pellucid.list_attributions()` has the names.

# %%
x, labels = data.x_test[:2], [f"label {label}" for label in data.y_test[:2]]
gradients = {
    name: pellucid.attribute("gradient", one, x) for name, one in networks.items()
}
pellucid.plot_maps(x, gradients, titles=labels)

# %% [markdown]
# Looking at maps is not measuring. Below stands a map of the robust network beside two of the
# controls: the mean of its maps over all training images, and its map of another image. Neither can
# know what matters in the image on the left.

# %%
mean = pellucid.attribute("gradient", networks["linf-0.2"], data.x_train).mean(axis=0)
own = gradients["linf-0.2"]
controls = {
    "own map": own,
    "mean training map": np.broadcast_to(mean, own.shape),
    "another image's map": own[::-1],
}
pellucid.plot_maps(x, controls, titles=labels)

# %% [markdown]
# All are dark at the rim and bright towards the middle, where the digits are. A score that such a
# map gets too does not come from what a network's own map says about its image.

# %% tags=["remove-cell"]
rim = np.ones((8, 8), bool)
rim[1:-1, 1:-1] = False
assert all(
    values[:, rim].mean() < values[:, ~rim].mean() for values in controls.values()
)

# %% [markdown]
# ## ROAR and KAR
#
# `pellucid.interpretability` scores the maps of a network. With `retrain=` it trains copies of it
# from new initial weights on images without, or with only, the top pixels; the budget says at which
# shares of the pixels, how many copies, for how long, and with which controls. This budget is a
# small one.

# %%
budget = pellucid.RetrainingBudget(
    fractions=(0.1, 0.3, 0.5),
    repeats=3,
    epochs=8,
    controls=("mean", "shuffled", "shuffled_within", "masks"),
)
results = {
    name: pellucid.interpretability(
        network,
        data.x_test,
        data.y_test,
        x_train=data.x_train,
        y_train=data.y_train,
        attributions=["gradient"],
        retrain=budget,
        verbose=False,
    )
    for name, network in networks.items()
}

# %% [markdown]
# The object prints as tables and can be drawn: the scores on the left, and beside them the accuracy
# of the retrained networks from which they follow. First the standard network, then the robust one:

# %%
results["standard"].plot()

# %%
results["linf-0.2"].plot()

# %% [markdown]
# ## What ROAR sees
#
# The rows below are areas between two of those curves. The first is ROAR itself; then its controls,
# each against the random order too.


# %%
def table(*names):
    def told(score):
        return f"{score.value:+.3f} [{score.low:+.3f}, {score.high:+.3f}]"

    columns = {
        network: {result.score(name).title: told(result.score(name)) for name in names}
        for network, result in results.items()
    }
    return pd.DataFrame(columns)


table(
    "roar_gradient",
    "roar_gradient-mean",
    "roar_gradient-shuffled",
    "roar_gradient-shuffled_within",
)

# %% [markdown]
# By ROAR alone the robust network's maps are the better ones: to remove their top pixels does more
# harm than to remove random pixels, and more than the standard network's maps do. But the maps of
# *other* images, which cannot show what matters in this one, do that harm as well. The differences
# from the controls, compared in pairs, since both retrainings start from the same weights:

# %%
table(
    "roar_gradient-over-mean",
    "roar_gradient-over-shuffled",
    "roar_gradient-over-shuffled_within",
)

# %% [markdown]
# A positive difference from another image's map would be what the map knows of its own image. For
# neither network is there one. (A difference from the mean map alone says that the places change
# from image to image, not that they fit the image.) So here the rise of ROAR with robustness is no
# evidence that the gradients explain single images better: the robust network's maps have it
# whichever image they are of.

# %% tags=["remove-cell"]
standard, robust = results.values()
assert robust.score("roar_gradient").low > max(0, standard.score("roar_gradient").high)
assert robust.score("roar_gradient-shuffled").low > 0
for result in results.values():
    for control in ("shuffled", "shuffled_within"):
        assert result.score(f"roar_gradient-over-{control}").low < 0

# %% [markdown]
# ## What KAR sees

# %%
table(
    "kar_gradient",
    "kar_gradient-mean",
    "kar_gradient-shuffled",
    "kar_gradient-shuffled_within",
    "kar_gradient-masks",
)

# %% [markdown]
# All scores are far above the random order. But the mean map, the same for every image, has nearly
# the score of the own maps: to keep the middle of the image is enough. And the last row comes from
# networks that saw *no pixel of any image*, only which pixels were kept. A map of a class has that
# class's shape, and the shape can be read ([Rong et al.](https://arxiv.org/abs/2202.00449)).

# %%
table("kar_gradient-over-mean", "kar_gradient-over-shuffled", "kar_gradient-over-masks")

# %% [markdown]
# Own maps lie beyond masks alone, so what is in the pixels does count, and beyond the maps of other
# images, which have the shape of another class.

# %% tags=["remove-cell"]
for result in results.values():
    own = result.score("kar_gradient")
    assert own.low > 0.1
    assert result.score("kar_gradient-mean").value > 0.85 * own.value
    assert result.score("kar_gradient-masks").low > 0
    assert result.score("kar_gradient-over-masks").low > 0
    assert result.score("kar_gradient-over-shuffled").low > 0

# %% [markdown]
# ## What this budget could have seen
#
# That a difference is not told apart from zero says something only if a difference worth having
# would have been. Half the width of an interval is about the smallest difference that it tells from
# zero:

# %%
pairs = [score for score in robust.scores if "-over-" in score.name]
pd.DataFrame(
    {score.title: f"{(score.high - score.low) / 2:.3f}" for score in pairs}.items(),
    columns=["difference", "half the interval"],
)

# %%
for name, result in results.items():
    retrained, accuracy = result.score("retrained_accuracy"), result.score("accuracy")
    print(
        f"{name}: the network's accuracy {accuracy.value:.3f},"
        f" retrained on untouched images {retrained.value:.3f}"
    )

# %% [markdown]
# Three limits remain whatever these numbers are:
#
# - The intervals cover other retrainings and other test images, for *these two* networks. Another
#   training of either has other maps; the benchmark's runs have several base-model seeds.
# - The retrained networks were trained for a short time, as the last cell shows. More epochs,
#   repeats and fractions give narrower intervals: `pellucid.RetrainingBudget()` has twice as many
#   fractions.
# - Removed pixels become the mean of their channel, which shows where they were. The benchmark also
#   imputes them from their neighbours.

# %% [markdown]
# ## Conclusions
#
# - The robust network had the higher ROAR. Maps of other images had it too, so ROAR did not see
#   what it is meant to see.
# - KAR was high for both networks. One map for all images had nearly the same score, and masks
#   without pixels a good part of it.
# - Without its controls either score would have told another story.
#
# ## Where next
#
# - [The trade-off, regenerated](trade_off.py): the same scores over a grid of networks.
# - [Is my model robust?](robust.py), and [adversarial training in `fit`](adversarial_training.py).
# - What the full runs found after their controls: `docs/results/findings.md`.
