"""What `plan` prints: a line per unit of work, and how much there is of each kind."""

from pellucid.benchmark.units import plan as plans
from pellucid.benchmark.units import retrain
from pellucid.benchmark.units.plan import Plan


def _units(plan: Plan, done: set[str]) -> list[str]:
    lines = [f"{'':5} {'kind':9} {'images':>13}  {'key':16}  unit"]
    for unit in plan.units:
        state = "done" if unit.key in done else "-"
        lines.append(
            f"{state:5} {unit.kind.name:9} {unit.images:>13,}  {unit.key:16}  {unit.label}"
        )
    return lines


def _kinds(plan: Plan, done: set[str]) -> list[str]:
    lines = []
    for kind, count, images in plans.summary(plan):
        finished = sum(unit.kind.name == kind and unit.key in done for unit in plan.units)
        lines.append(f"{kind:9} {count:>6,} units, {finished:,} done, {images:,} images trained on")
    return lines


def _retrainings(plan: Plan) -> list[str]:
    """How many retrainings measure networks, and how many they are compared with."""
    units = list(plan.of(retrain.KIND))
    measuring = [unit for unit in units if unit.network is not None]
    if not measuring:
        return []
    networks = len({unit.network for unit in measuring})
    return [
        f"          {len(measuring):,} retrainings of {networks} networks' ROAR and KAR,"
        f" {len(units) - len(measuring)} for comparison"
    ]


def text(plan: Plan, done: set[str]) -> str:
    """A plan as a table.

    Args:
        plan: The plan.
        done: Keys of the units that are done.
    """
    images = sum(unit.images for unit in plan.units)
    total = (
        f"{'all':9} {len(plan.units):>6,} units, {len(done):,} done, {images:,} images trained on;"
        f" {len(plan.networks)} networks, {plan.config.seeds} base-model seed(s)"
    )
    return "\n".join([*_units(plan, done), "", *_kinds(plan, done), *_retrainings(plan), total])
