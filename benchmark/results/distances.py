"""Distances to the image manifold, a row for each network, seed, attack loss and manifold model.

The tables that they are of have a row for each image, and are too large to be published.
"""

import numpy as np
import pandas as pd

from pellucid.benchmark.units.calibration import ENCODER
from pellucid.metrics import densities
from pellucid.models.types import Array

NETWORK = ["network", "norm", "epsilon", "loss", "seed", "attack_loss", "manifold"]


def _peak(values: Array) -> dict[str, float]:
    """The place of the density's peak with its interval over images; empty where there is none."""
    if len(values) < densities.SMALLEST or np.ptp(values) == 0:
        return {}
    found = densities.peak(values)
    return {"": found.value, "_low": found.low, "_high": found.high}


def of_networks(by_image: pd.DataFrame, by_others: pd.DataFrame) -> pd.DataFrame:
    """Distances of each network's adversarial examples, in paper units.

    Columns: network, norm, epsilon, loss, seed, attack_loss, manifold; images; of the clean images
    `clean_low` and `clean_high`, the ends of their range; of the adversarial examples their mean
    `adversarial`, the number `kept` that change the standard network's prediction, their mean
    `kept_adversarial`, and the peak of their density, `kept_peak`, with its interval over images;
    of the standard network besides `clean_peak`; by the encoder besides `farther_under_noise`, the
    share of images that are farther under noise of the same norm.

    Args:
        by_image: The table `manifold`, by the VAE-GAN's encoder; may be empty.
        by_others: The table `off_manifold`; may be empty.
    """
    parts = [by_image.assign(manifold=ENCODER)] if len(by_image) else []
    if len(by_others):
        parts.append(by_others[by_others["manifold"] != ENCODER])
    rows = []
    for part in parts:
        for about, images in part.groupby(NETWORK, sort=False):
            network = dict(zip(NETWORK, about, strict=True))
            clean = images["clean_distance"].to_numpy()
            kept = images.loc[images["kept"], "adversarial_distance"].to_numpy()
            row = network | {
                "images": len(images),
                "clean_low": clean.min(),
                "clean_high": clean.max(),
                "adversarial": images["adversarial_distance"].mean(),
                "kept": len(kept),
                "kept_adversarial": kept.mean() if len(kept) else np.nan,
            }
            peaks = {"kept_peak": _peak(kept)}
            if network["norm"] == "none":
                peaks["clean_peak"] = _peak(clean)
            for name, found in peaks.items():
                row |= {f"{name}{suffix}": value for suffix, value in found.items()}
            if network["manifold"] == ENCODER:
                row["farther_under_noise"] = (images["noise_distance"].to_numpy() > clean).mean()
            rows.append(row)
    return pd.DataFrame(rows)
