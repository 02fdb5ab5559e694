"""AutoAttack by this project and by torchattacks, on the same weights, in separate processes.

`python -m tests.peers.autoattack WHO MODEL.keras IMAGES.npz NORM EPSILON INDEX OF` answers with a
line of JSON about the images' part number INDEX of OF: clean accuracy, for each attack the accuracy
after it and its seconds, and the seconds of all, on the wall and of the processors."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
WHO = ("ours", "torchattacks", "torchattacks-shipped")
NAMES = ("apgd-ce", "apgd-t", "fab-t", "square")
BATCH = 500


def trained(data: Any, attack: Any) -> Any:
    """`strided_cnn` as `reduced-mnist` trains it, by the first seed with which it learns.

    Strong adversaries leave some runs at chance: which ones, rounding decides.
    """
    from pellucid import models
    from pellucid.benchmark.training.prediction import predicted_classes
    from tests.fitting import fit

    for seed in range(5):
        model = models.get("strided_cnn")(data.info.shape, data.info.num_classes, seed=seed)
        fit(model, data.x_train, data.y_train, seed=seed, epochs=5, attack=attack)
        if (predicted_classes(model, data.x_test) == data.y_test).mean() > 0.8:
            return model
    raise RuntimeError(f"No run of five has learnt anything under {attack}.")


def ours(path: Path, x: np.ndarray, y: np.ndarray, norm: str, epsilon: float) -> dict[str, Any]:
    """This project's `standard`, with a batch for each of two cores."""
    from pellucid import models

    models.choose_kernels("strided_cnn")
    from pellucid.models import backend

    backend.configure()
    import keras

    from pellucid.attacks.autoattack import ensemble

    model = keras.saving.load_model(path, compile=False)
    start = time.process_time()
    found = ensemble.evaluate(model, x, y, norm=norm, epsilon=epsilon, threads=2, batch_size=BATCH)
    cpu = time.process_time() - start
    broken = found.broken_by
    attacks = [
        {
            "attack": name,
            "accuracy": float(((broken < 0) | (broken > number)).mean()),
            "seconds": found.seconds[name],
        }
        for number, name in enumerate(NAMES, 1)
    ]
    clean = float((broken != ensemble.MISCLASSIFIED).mean())
    return {
        "clean": clean,
        "attacks": attacks,
        "seconds": sum(attack["seconds"] for attack in attacks),
        "cpu": cpu,
        "gradients": int(found.gradients.sum()),
        "broken_by": broken.tolist(),
    }


def theirs(
    path: Path, x: np.ndarray, y: np.ndarray, norm: str, epsilon: float, *, shipped: bool
) -> dict[str, Any]:
    """torchattacks' AutoAttack, as published (100 steps, Square's schedule) unless `shipped`."""
    import keras
    import torch
    import torchattacks

    from tests.peers.torch_models import fastest, to_torch

    module = fastest(to_torch(keras.saving.load_model(path, compile=False)))
    whole = torchattacks.AutoAttack(
        module, norm={"l2": "L2", "linf": "Linf"}[norm], eps=epsilon, seed=0, n_classes=10
    )
    parts = whole._autoattack._attacks
    images = torch.from_numpy((x / np.float32(255)).transpose(0, 3, 1, 2))
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(y.astype(np.int64))

    def right(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return module(z).argmax(1) == y

    standing = torch.nonzero(right(images, labels)).flatten()
    found: dict[str, Any] = {"clean": len(standing) / len(x), "attacks": []}
    begun = time.process_time()
    for name, attack in zip(
        NAMES, parts.values() if isinstance(parts, dict) else parts, strict=True
    ):
        if not shipped:
            if name == "square":
                attack.rescale_schedule = False
            else:
                attack.steps = 100
        start = time.perf_counter()
        kept = []
        for i in range(0, len(standing), BATCH):
            part = standing[i : i + BATCH]
            adversarial = attack(images[part], labels[part])
            kept.append(part[right(adversarial, labels[part])])
        standing = torch.cat(kept) if kept else standing
        found["attacks"].append(
            {
                "attack": name,
                "accuracy": len(standing) / len(x),
                "seconds": time.perf_counter() - start,
            }
        )
    return found | {
        "seconds": sum(attack["seconds"] for attack in found["attacks"]),
        "cpu": time.process_time() - begun,
        "standing": standing.tolist(),
    }


def alone(model: Any, x: np.ndarray, y: np.ndarray, norm: str, epsilon: float) -> dict[str, float]:
    """Accuracy under PGD-40 (cross-entropy) and under each attack of `standard` by itself."""
    from pellucid.attacks import Attack, run
    from pellucid.attacks.autoattack import ensemble

    pgd = Attack("pgd", norm, epsilon, steps=40, step_size=2.5 * epsilon / 40)
    found = {"pgd-40": float((ensemble.predicted(model, run(pgd, model, x, y)) == y).mean())}
    for name, attack in ensemble.ensemble("standard", norm, int(model.output_shape[-1])).items():
        verdicts = ensemble.evaluate(
            model, x, y, norm=norm, epsilon=epsilon, threads=2, attacks={name: attack}
        )
        found[name] = float((verdicts.broken_by == ensemble.SURVIVED).mean())
    return found


INTRODUCTION = """\
# AutoAttack here and in torchattacks

Made by `make test-peers`: the first {images:,} MNIST test images, `strided_cnn` trained as
`reduced-mnist` says, the same weights in both; radii {radii} (pixel units). *theirs*: torchattacks'
ensemble with the published 100 steps and Square's published schedule. *shipped*: its default, with
10 steps. Accuracy after each attack, and its seconds; two cores each, ours with the compilation of
its programs.
"""


ALONE = """
## Each attack alone

Accuracy under PGD-40 with cross-entropy (step 2.5 radii over 40, no random start) and under each of
our attacks by itself, on all the images.

"""


def table(compared: list[dict[str, Any]], by_itself: list[dict[str, Any]], images: int) -> str:
    """What was measured, as Markdown."""
    radii = ", ".join(
        f"{norm} {epsilon:g}"
        for norm, epsilon in {r["norm"]: r["epsilon"] for r in compared}.items()
    )
    columns = ["network", "norm", "", "clean", *NAMES, "seconds", "theirs / ours"]
    lines = [INTRODUCTION.format(images=images, radii=radii), f"| {' | '.join(columns)} |"]
    lines.append("| --- " * len(columns) + "|")
    for row in compared:
        seconds = {
            who: sum(a["seconds"] for a in row[who]["attacks"])
            for who in ("ours", "theirs", "shipped")
        }
        for who, took in seconds.items():
            after = [f"{a['accuracy']:.3f} ({a['seconds']:.1f} s)" for a in row[who]["attacks"]]
            ratio = f"{took / seconds['ours']:.1f}" if who != "ours" else ""
            cells = [
                row["network"],
                row["norm"],
                who,
                f"{row[who]['clean']:.3f}",
                *after,
                f"{took:.1f}",
                ratio,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    columns = ["pgd-40", *NAMES]
    lines += [
        ALONE + f"| network | norm | {' | '.join(columns)} |",
        "| --- " * (2 + len(columns)) + "|",
    ]
    for row in by_itself:
        values = " | ".join(f"{row[column]:.3f}" for column in columns)
        lines.append(f"| {row['network']} | {row['norm']} | {values} |")
    return "\n".join(lines) + "\n"


def measured(
    who: str, path: Path, images: Path, norm: str, epsilon: float, *, processes: int = 1
) -> dict[str, Any]:
    """What a process of its own finds, or several of one thread, each on its part of the images."""
    arguments = [who, str(path), str(images), norm, str(epsilon)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.peers.autoattack", *arguments, str(i), str(processes)],
            cwd=ROOT,
            env=os.environ | ({"OMP_NUM_THREADS": "1"} if processes > 1 else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]
    answers = [process.communicate() for process in running]
    for process, (_, error) in zip(running, answers, strict=True):
        if process.returncode:
            raise RuntimeError(error[-3000:])
    found = [json.loads(output.splitlines()[-1]) for output, _ in answers]
    return found[0] if processes == 1 else _joined(found)


def _joined(found: list[dict[str, Any]]) -> dict[str, Any]:
    """One answer of several about parts of the images: the slowest one's seconds."""
    weights = [part["images"] for part in found]

    def mean(values: list[float]) -> float:
        return float(np.average(values, weights=weights))

    return {
        "clean": mean([part["clean"] for part in found]),
        "attacks": [
            {
                "attack": name,
                "accuracy": mean([part["attacks"][number]["accuracy"] for part in found]),
                "seconds": max(part["attacks"][number]["seconds"] for part in found),
            }
            for number, name in enumerate(NAMES)
        ],
        "seconds": max(part["seconds"] for part in found),
        "cpu": sum(part["cpu"] for part in found),
    }


def main() -> None:
    """Answers one command."""
    who, path, images, norm, epsilon, index, of = sys.argv[1:]
    with np.load(images) as file:
        x, y = (np.array_split(file[name], int(of))[int(index)] for name in ("x", "y"))
    if who == "ours":
        found = ours(Path(path), x, y, norm, float(epsilon))
    else:
        found = theirs(
            Path(path), x, y, norm, float(epsilon), shipped=who == "torchattacks-shipped"
        )
    print(json.dumps(found | {"images": len(x)}))


if __name__ == "__main__":
    main()
