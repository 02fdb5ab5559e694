"""How long a run would take on this device, from the figures measured before."""

from pellucid.benchmark.accelerator import speed
from pellucid.benchmark.accelerator.record import Outcome, Record
from pellucid.benchmark.accelerator.scale import Scale, described, images
from pellucid.benchmark.execution import estimate
from pellucid.benchmark.progress import duration
from pellucid.benchmark.units import configuration, retrain
from pellucid.benchmark.units.manifold import Manifold
from pellucid.benchmark.units.plan import Plan, build
from pellucid.benchmark.units.vae_gan import VaeGanSection
from pellucid.models.batching import to_device
from pellucid.models.types import Json

MANIFOLD = "VAE-GAN training"
"""Name of the step that measures the manifold model."""


def planned(scale: Scale) -> Plan:
    """The plan of the run whose time is estimated; its data need not be there."""
    config = configuration.resolve(scale.preset, None, [])
    return build(config, described(config))


def network(scale: Scale) -> str:
    """The classifier of that run."""
    return planned(scale).config.model.name


def manifold(scale: Scale) -> Outcome:
    """An epoch of that run's manifold model."""
    plan = planned(scale)
    section = plan.config.section(VaeGanSection)
    if section is None or plan.config.section(Manifold) is None:
        return Outcome([], ("The run has no manifold model.",))
    x, _ = images(plan.info.shape, scale.modelled)
    pace = estimate.vae_gan_pace(plan, section, to_device(x))
    return Outcome([{"what": section.name, "images/s": 1 / pace}])


def needs(scale: Scale) -> tuple[str, ...]:
    """The steps without which there is no proposal."""
    name = network(scale)
    return (f"{speed.TRAINED} {name}", f"{speed.ADVERSARIAL} {name}", MANIFOLD)


def _pace(rows: list[Json], what: str) -> Json:
    return next(row for row in rows if row["what"] == what)


def propose(scale: Scale, record: Record) -> Outcome:
    """The time of the run by kind of unit, one unit at a time, at the measured paces."""
    plan, (trained, attacked, manifold_step) = planned(scale), needs(scale)
    plain = _pace(record.rows(trained), speed.PLAIN)["images/s"]
    masked = _pace(record.rows(trained), speed.MASKED)["images/s"]
    against = _pace(record.rows(attacked), speed.ADVERSARIAL)
    vae_gan = [1 / row["images/s"] for row in record.rows(manifold_step)]
    step = max(1 / against["images/s"] - 1 / plain, 0.0) / against["steps"]
    pace = estimate.Pace(1 / plain, step, vae_gan[0] if vae_gan else 0.0, 1)

    seconds: dict[str, list[float]] = {}
    for unit in plan.units:
        own = pace._replace(standard=1 / masked) if unit.kind is retrain.KIND else pace
        seconds.setdefault(unit.kind.name, []).append(estimate.seconds(unit, own))
    rows: list[Json] = [_row(kind, len(each), sum(each)) for kind, each in seconds.items()]
    whole = sum(row["s"] for row in rows)
    rows.append(_row("all", len(plan.units), whole))
    notes = [
        f"`{scale.preset}` would take about {duration(whole)} on this device: {len(plan.networks)}"
        f" networks, {len(plan.units):,} units of work, one at a time.",
        f"By the paces above: {plain:,.0f} images/s in training, {masked:,.0f} with masks,"
        f" {1 / step if step else float('inf'):,.0f} images/s in a step of PGD.",
    ]
    together = f"{speed.TOGETHER} {network(scale)}"
    if record.done(together):
        exact = [row for row in record.rows(together) if row["compute"] == "float32"]
        best = max(exact, key=lambda row: row["images/s"])
        retraining = sum(seconds.get(retrain.KIND.name, [0.0]))
        saved = retraining * (1 - masked / best["images/s"])
        if best["what"] != "one" and saved > 0:
            notes.append(
                f"With {best['networks']} retrainings at a time by `{best['what']}` it would be"
                f" about {duration(whole - saved)}."
            )
    return Outcome(rows, tuple(notes))


def _row(kind: str, units: int, seconds: float) -> Json:
    return {"kind of unit": kind, "units": units, "s": seconds, "time": duration(seconds)}
