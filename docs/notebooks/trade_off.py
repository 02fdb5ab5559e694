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
# # The trade-off, regenerated
#
# How to train a grid of networks with one command, read its tables, draw accuracy against
# interpretability, and see what the figure can and cannot show.

# %% [markdown]
# ## Introduction
#
# [Kim, Seo and Jeon](https://arxiv.org/abs/1903.11626) trained networks against adversaries of
# rising strength and found that, as test accuracy falls, the gradients become more interpretable:
# a trade-off. The benchmark does this with one command: it trains the grid, measures every network,
# and writes tables and figures. This guide
#
# 1. looks at the scores of the published grids,
# 2. runs a grid that is small enough for a minute,
# 3. draws the trade-off from the tables of that run,
# 4. looks at the controls of the rise, and at what a grid of this size could have shown.

# %% [markdown]
# ## Setup

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # nothing about how TensorFlow was built

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image

import pellucid


def command(line):
    """Runs a command of this environment and prints what it writes."""
    done = subprocess.run(
        [sys.executable, "-m", *line.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout + done.stderr)


# %% [markdown]
# ## The published grids
#
# The networks of the reduced runs come with the library, and `list_models` has their scores on the
# board: means over three seeds, and of `digits` the scores of one.

# %%
published = pellucid.list_models()
columns = ["test_accuracy", "robust_accuracy", "roar_gradient", "kar_gradient"]
published[columns].round(3)

# %%
tracks = published.groupby(published.index.str.split("/").str[0])
colours = {"standard": "black", "l2": "#0072B2", "linf": "#D55E00"}
made, axes = plt.subplots(2, 2, figsize=(7.4, 5.6), layout="constrained")
for axis, (track, rows) in zip(axes.flat, tracks, strict=True):
    for training, colour in colours.items():
        of = rows[rows.index.str.contains(f"/{training}")]
        axis.scatter(of["test_accuracy"], of["roar_gradient"], c=colour, label=training)
    axis.margins(0.15)
    axis.set(title=track, xlabel="test accuracy", ylabel="ROAR (Gradient)")
made.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
plt.show()

# %% [markdown]
# These are points without intervals, so they claim nothing yet. [The
# board](../../leaderboard/LEADERBOARD.md) has their intervals, and [the
# findings](../results/findings.md) say which of the rises are beyond chance and which survive their
# controls.

# %% [markdown]
# ## A grid of one's own
#
# A run is described by a TOML file. It may be complete, or state what it changes of a preset. Here
# we take `quick`, the whole protocol on scikit-learn's digits, and keep of it what this guide looks
# at: the standard network and two trained against L2 adversaries, and ROAR of their gradients
# beside two controls. We train everything from three seeds.

# %%
_ = Path("small.toml").write_text(
    """
seeds = 3
pictures = 0

[[grid]]
norm = "l2"
epsilons = [0.3, 1.0]
losses = ["xent"]
measures = ["retraining"]

[retraining]
attributions = ["gradient"]
modes = ["roar"]
fractions = [0.1, 0.3, 0.5]
controls = ["mean", "shuffled"]
fills = ["mean"]

[measures]
names = ["gini"]

[vae_gan]
epochs = 10  # the model of the image manifold, which is not looked at here

[autoattack]
images = 50

[robustness]
losses = ["xent"]
l2 = [0.4]
linf = [0.08]
"""
)

# %%
command("pellucid run --preset quick --config small.toml --out small")

# %% [markdown]
# It counts down while it works, and keeps what is done: stopped, the same command resumes. The
# notes say what it noticed and whether that matters; the poor manifold model is our doing.
# `pellucid plan` lists the work of a run and says how long it takes, without doing any of it.

# %% [markdown]
# ## The tables
#
# `results` has one table for each thing that is measured, as CSV and Parquet. `scores.csv` has
# every score of every network over its seeds, with a 95 percent interval.

# %%
results = Path("small", "results")
sorted(path.name for path in results.glob("*.csv"))

# %%
scores = pd.read_csv(results / "scores.csv")
roar = scores[scores["score"] == "roar_gradient"]
roar[
    ["network", "epsilon", "value", "low", "high", "train_accuracy", "test_accuracy"]
].round(3)

# %% [markdown]
# Training accuracy stands beside every score: networks that have not fitted their training images
# have other gradients than those that have. The intervals are wide, since they allow for other
# seeds and there were three. Differences between networks are compared seed by seed, and are known
# better.

# %% [markdown]
# ## The figure
#
# Test accuracy to the right, ROAR upwards: a trade-off would fall from the upper left to the lower
# right.


# %%
def ends(rows):
    return [rows["value"] - rows["low"], rows["high"] - rows["value"]]


accuracy = scores[scores["score"] == "test_accuracy"]
_, axis = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
axis.errorbar(
    accuracy["value"], roar["value"], ends(roar), ends(accuracy), fmt="o", capsize=2
)
for x, y, name in zip(accuracy["value"], roar["value"], roar["network"], strict=True):
    axis.annotate(name, (x, y), xytext=(5, 5), textcoords="offset points")
axis.set(xlabel="test accuracy", ylabel="ROAR (Gradient)")
plt.show()

# %% tags=["remove-cell"]
assert list(accuracy["network"]) == list(roar["network"])
assert len(roar) == 3

# %% [markdown]
# The run has drawn its own, from the same tables:

# %%
Image("small/figures/roar_xent_accuracy.png", width=520)

# %% [markdown]
# ## What explains the rise
#
# Over the strength of the adversary, from the standard network to the strongest, ROAR rises. But
# what else would rise so? `verdicts.csv` has the rise of each control beside it, and the answer by
# a rule that was fixed before the runs were made ([the protocol](../protocol.md)): a rise
# *survives* a control that explains less than half of it beyond chance, and *does not* survive one
# that explains more.

# %%
verdicts = pd.read_csv(results / "verdicts.csv")
verdicts[["control", "rise", "rise_low", "rise_high", "control_rise", "verdict"]].round(
    3
)

# %%
Image("small/figures/controls_roar_mean_xent.png", width=640)

# %% tags=["remove-cell"]
assert set(verdicts["control"]) == {"mean", "shuffled"}
assert (verdicts["rise_low"] > 0).all()
assert verdicts.set_index("control")["verdict"].to_dict() == {
    "mean": "does not",
    "shuffled": "cannot be told",
}

# %% [markdown]
# The mean training map is one map for all images of a network. Its ROAR rises as much as that of
# the network's own maps, so here the rise says where the networks look, not what they see in an
# image. Of maps of other images this run cannot tell how much they explain.

# %% [markdown]
# ## What this grid could have shown
#
# `groups.csv` says how many networks a score tells apart. With three networks a line through them
# means nothing, however well it fits; with three seeds an interval is wide, and a difference has
# to be large to be seen at all.

# %%
pd.read_csv(results / "groups.csv")

# %% [markdown]
# ## Conclusions
#
# - One command trains a grid and writes its tables; a trade-off figure is a few lines from there.
# - The figure alone does not show a trade-off. It needs intervals, enough networks, and accuracies
#   that differ.
# - A rise is not yet an explanation: a control that knows less than the map may rise too.
#
# This run was reduced far below the published ones: three networks, three seeds, ten epochs of the
# manifold model, two retrainings at each of three shares. For numbers to report, take
# `pellucid run --preset reduced-mnist`, or a larger one.
#
# ## Where next
#
# - [Is it interpretable?](interpretable.py): the same controls on one network.
# - [Submit](submit.py): compare a model of your own with a track's grid.
# - [Running the benchmark](../running.md): presets, data sets, GPUs and clusters.
