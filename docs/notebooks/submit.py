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
# # Submit a model
#
# How to put a Keras classifier on a leaderboard, beside networks that were trained at rising
# adversarial strength, and read where it stands.

# %% [markdown]
# ## Introduction
#
# A *track* fixes all that makes scores comparable: the data, the attacks, the networks that are
# retrained, the seeds. Its *reference grid* are networks trained by the benchmark itself, from
# standard training to a strong adversary. A submission is measured in the same way, and the board
# says whether it is more interpretable than the grid's networks of the same accuracy.
#
# A submission is two files: the model, saved by Keras, and a card that says what it is. This guide
# makes both for the track `digits`, has them checked and measured, and reads the entry.
#
# It needs a clone of the repository, whose board it copies. Submitting to the clone's own board
# differs in one word, as said below.

# %% [markdown]
# ## Setup

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # nothing about how TensorFlow was built

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pandas as pd

import pellucid

keras.utils.set_random_seed(0)
clone = Path(pellucid.__file__).parent.parent
board = Path("board")
_ = shutil.copytree(clone / "leaderboard", board, ignore=shutil.ignore_patterns("*.py"))


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
# ## The model
#
# From pixels in [0, 1] to logits, of Keras' own layers. If your network wants other pixels, put a
# `Rescaling` or `Normalization` layer into it; [Submitting](../submitting.md) has the whole list of
# what is taken.

# %%
data = pellucid.load_data("digits")
model = keras.Sequential(
    [
        keras.Input(data.info.shape),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(data.x_train / 255, data.y_train, epochs=20, verbose=0)
model.save("my_cnn.keras")

# %% [markdown]
# ## The card
#
# `pellucid submit --new-card` writes one to fill in. It says what you say: nothing in it is
# measured, and nothing in it counts.

# %%
_ = Path("card.toml").write_text(
    """
name = "My CNN"
authors = ["A. Newcomer"]
licence = "MIT"
description = "One convolution and a dense layer, trained for 20 epochs on plain images."

[training]
norm = "none"
loss = "cross-entropy"
"""
)

# %% [markdown]
# ## Checked in seconds
#
# `--check-only` reads the model and the card, names every mistake, and says how long measuring
# takes.

# %%
command("pellucid submit my_cnn.keras --track digits --card card.toml --check-only")

# %% [markdown]
# The file is opened by a process that can reach neither the network nor your files, so a submission
# from a stranger can be checked as well.
#
# What does a refusal look like? Here is a model for pixels in [0, 255]. It is not measured, since
# the scores would mean nothing; the line says what to do:

# %%
scale = keras.layers.Rescaling(1 / 255)
wrong = keras.Sequential([keras.Input(data.info.shape), scale, model])
wrong.save("wrong.keras")

# %%
command("pellucid submit wrong.keras --track digits --card card.toml --check-only")

# %% [markdown]
# ## Measured
#
# Without `--board board` the entry goes to `leaderboard`, the board of the clone. The first
# submission to a track also trains what all of them share and keeps it in `runs`; later ones do
# without.

# %%
command("pellucid submit my_cnn.keras --track digits --card card.toml --board board")

# %% [markdown]
# Each line has a score with its 95 percent interval, how far it lies from what the grid has at the
# same test accuracy, and the ranks that the model may have: a range where it cannot be told apart
# from others. To *beat the trade-off* asks for more than to lie above the line: the grid must have
# been trained from three seeds, which that of `digits` was not.

# %% [markdown]
# ## The entry
#
# The board is rendered from files, one for each entry. They have more than the page: accuracy by
# attack and radius, every retraining, and warnings with their evidence.

# %%
entry = json.loads(
    next((board / "entries" / "digits").glob("my-cnn-*.json")).read_text()
)
sorted(entry)

# %%
scores = pd.DataFrame(entry["scores"]).T[["value", "low", "high"]].astype(float)
names = ["test_accuracy", "robust_accuracy", "roar_gradient", "roar_gradient-mean"]
scores.loc[names].round(3)

# %%
print("warnings:", entry["flags"] or "none")

# %% tags=["remove-cell"]
assert entry["role"] == "submission"
assert entry["flags"] == []

# %% [markdown]
# All of the track as one table:

# %%
table = pd.read_csv(board / "leaderboard.csv")
table = table[(table["track"] == "digits") & (table["protocol_version"] == 3)]
table = table.set_index("name").sort_values("roar_gradient", ascending=False)
table[["role", "test_accuracy", "robust_accuracy", "roar_gradient"]].round(3)

# %% tags=["remove-cell"]
assert table.loc["My CNN", "role"] == "submission"
assert (table["role"] == "reference").sum() == 7

# %% [markdown]
# ## Conclusions
#
# - A submission is a `.keras` file and a card. `--check-only` finds mistakes before anything is
#   measured.
# - The question is not which model has the highest score, but which one is above the grid's line
#   and told apart from it.
# - The entry has the evidence: scores follow from the retrainings in it, and anybody can check that
#   with `pellucid leaderboard --check`.
#
# ## Where next
#
# - [Submitting a model](../submitting.md): the rules, the flags, and how to get onto a shared board
#   by a pull request.
# - [The trade-off, regenerated](trade_off.py): where the grid comes from.
# - [Is my model robust?](robust.py), before you submit.
