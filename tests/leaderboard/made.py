"""Made-up entries: what a board has, without any measurement."""

import base64
import hashlib
import io

import numpy as np
from PIL import Image

from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import outcomes
from pellucid.leaderboard.card import Card, TrainingClaim
from pellucid.leaderboard.entry import (
    AfterAttack,
    Attacked,
    DataRecord,
    Ensemble,
    Entry,
    EnvironmentRecord,
    Flag,
    ModelRecord,
    Picture,
    RetrainingCurve,
    Score,
    TrackRecord,
    place,
)
from pellucid.leaderboard.outcomes import Outcomes

HASH = "0" * 64


def track(name: str = "digits", *, protocol: int = 1, digest: str = HASH) -> TrackRecord:
    data = DataRecord(
        name="digits", version="1.0.0", train_images=1200, test_images=597, sha256=HASH
    )
    return TrackRecord(
        name=name,
        digest=digest,
        protocol_version=protocol,
        scale="quick",
        data=data,
        retrained="digits_cnn, 12 epochs, 2 repeats",
        robustness="PGD L2 0.4 (pixel units), 20 steps, loss xent",
    )


def png(values: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def score(value: float, half: float | None = 0.01, n: int = 597, seeds: int = 1) -> Score:
    if half is None:
        return Score(value=value, n=n, seeds=seeds)
    return Score(value=value, low=value - half, high=value + half, n=n, seeds=seeds)


def ensemble(accuracy: float) -> Ensemble:
    """AutoAttack, after which 0.2 of the accuracy is gone."""
    losses = {"apgd-ce": "xent", "apgd-t": "dlr-targeted", "fab-t": "margin", "square": "margin"}
    attacks = [
        AfterAttack(attack=name, loss=loss, steps=100, accuracy=score(accuracy - lost))
        for (name, loss), lost in zip(losses.items(), (0.15, 0.19, 0.2, 0.2), strict=True)
    ]
    return Ensemble(
        version="standard",
        norm="l2",
        epsilon=0.6,
        seed=1,
        clean=score(accuracy),
        attacks=attacks,
        gradients=1200.0,
        forwards=3900.0,
    )


def made(
    name: str,
    accuracy: float,
    roar: float | None = None,
    *,
    role="submission",
    norm="l2",
    epsilon=0.5,
    on: TrackRecord | None = None,
    flags=(),
    manifold: float | None = None,
    card: Card | None = None,
) -> Entry:
    scores = {"test_accuracy": score(accuracy), "robust_accuracy": score(accuracy - 0.2)}
    curves = []
    if roar is not None:
        for kind, value in (
            ("roar_gradient_input", roar),
            ("roar_gradient", roar - 0.01),
            ("kar_gradient", 0.2 - roar),
        ):
            scores[kind] = score(value, n=10, seeds=2)
            mode, _, attribution = kind.partition("_")
            down = np.linspace(accuracy, 0.3, 5)
            curves.append(
                RetrainingCurve(
                    attribution=attribution,
                    mode=mode,
                    fractions=[0.1, 0.3, 0.5, 0.7, 0.9],
                    untouched=0.95,
                    accuracy=[[down.tolist(), (down - 0.01).tolist()]],
                    random=[(down + 0.02).clip(0, 1).tolist()] * 2,
                )
            )
    if manifold is not None:
        scores["manifold_xent_excess_over_noise"] = score(manifold)
    rng = np.random.default_rng(len(name))
    pictures = [
        Picture(
            label=i,
            predicted=i,
            image=png(rng.integers(0, 255, (8, 8))),
            gradient=png(rng.integers(0, 255, (8, 8))),
        )
        for i in range(3)
    ]
    attacks = [
        Attacked(
            attack=a,
            norm="l2",
            epsilon=e,
            loss=None if a == "noise" else "xent",
            steps=0 if a == "noise" else 20,
            accuracy=score(accuracy - (0.02 if a == "noise" else e / 2), 0.0),
        )
        for e in (0.2, 0.4)
        for a in ("pgd", "noise")
    ]
    training = TrainingClaim(norm=norm, epsilon=0.0 if norm == "none" else epsilon, loss="xent")
    return entries.seal(
        Entry(
            id=name,
            role=role,
            verified=True,
            track=on or track(),
            scores=scores,
            attacks=attacks,
            curves=curves,
            autoattack=ensemble(accuracy),
            card=card
            or Card(
                name=f"Model {name}",
                authors=["A. Author"],
                link="https://example.org/x",
                licence="MIT",
                description="Made up.",
                training=training,
            ),
            model=ModelRecord(parameters=1000, sha256=[hashlib.sha256(name.encode()).hexdigest()]),
            pictures=pictures,
            seconds=12.5,
            flags=[
                Flag(name=f, evidence={"images": 30, "examples": 597, "epsilon": 0.4})
                for f in flags
            ],
            environment=EnvironmentRecord(
                python="3.11",
                platform="Linux",
                processors=2,
                backend="tensorflow",
                devices=["CPU:0"],
                packages={"keras": "3.15.0"},
                commits=["0" * 40],
                uncommitted_changes=False,
            ),
        )
    )


def grid(on: TrackRecord | None = None, n: int = 6) -> list[Entry]:
    """A reference grid whose ROAR falls with accuracy, not quite on a line."""
    out = []
    for i in range(n):
        accuracy, wiggle = 0.98 - 0.01 * i, 0.004 * (-1) ** i
        norm = "none" if i == 0 else "l2"
        made_one = made(
            f"reference-{i}",
            accuracy,
            0.01 * i + wiggle,
            role="reference",
            norm=norm,
            epsilon=0.1 * i,
            on=on,
            manifold=-0.5 - 0.05 * i + wiggle,
        )
        out.append(made_one)
    return out


def evidence(rows: list[Entry], *, seeds: int = 3, noise: float = 1e-3) -> dict[str, Outcomes]:
    """Outcomes behind made-up entries, by place: grids from several seeds, submissions from one.

    What a seed adds is common to all; around it, retrainings scatter by the noise.
    """
    draw = np.random.default_rng(0)
    common = draw.normal(size=(seeds, 1, 1))
    found = {}
    for entry in rows:
        own = seeds if entry.role == "reference" else 1
        contributions = {}
        for name, one in entry.scores.items():
            if name.endswith("_accuracy"):
                continue
            scatter = noise * draw.normal(size=(own, 2, 1))
            value = one.value + common[:own] - common.mean() + scatter - scatter.mean()
            contributions[name] = outcomes.numbers(value)
        accuracy = entry.value("test_accuracy")
        test = outcomes.bits(draw.random((own, 597)) < accuracy)
        found[place(entry)] = Outcomes(test=test, retrainings=[], contributions=contributions)
    return found
