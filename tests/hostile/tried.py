"""Examines several submitted files in one confined process, which imports Keras once."""

import os

from pellucid.models.untrusted.sandbox import child


def main(arguments, outputs):
    """The payload of the confinement, for each of the folders that the first argument names."""
    folders, *rest = arguments
    for folder in folders:
        os.chdir(folder)
        child.main(rest, {name: outputs[f"{folder}/{name}"] for name in child.OUTPUTS})
        os.chdir("..")
