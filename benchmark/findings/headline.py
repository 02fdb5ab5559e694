"""The answer in at most three sentences, from the verdicts on all data sets and norms."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from pellucid.benchmark.findings.sentences import claim, listed, of, scales
from pellucid.benchmark.findings.standing import Share, Standing
from pellucid.benchmark.results import names
from pellucid.benchmark.results.controls import DOES_NOT, SURVIVES, UNCLEAR
from pellucid.benchmark.units.outcomes import IMPUTED, MEAN
from pellucid.metrics import CONTROLS

FIRST = {MEAN: "the mean fill", IMPUTED: "imputation"}
EITHER = "the mean fill, or imputation where it alone was run"


def by_score(standings: Sequence[Standing]) -> dict[str, list[Standing]]:
    """The standings of each score, in the order in which the scores are met."""
    found: dict[str, list[Standing]] = {}
    for standing in standings:
        found.setdefault(standing.score, []).append(standing)
    return found


def by_attribution(standings: Sequence[Standing]) -> list[list[Standing]]:
    """The standings of each attribution, in the order in which they are met."""
    found: dict[str, list[Standing]] = {}
    for standing in standings:
        found.setdefault(standing.attribution, []).append(standing)
    return list(found.values())


def answer(standings: Sequence[Standing]) -> str:
    """What can be said to rise with adversarial training, and where; and of what it cannot."""
    scores, claims, without = by_score(standings), [], []
    for score, some in scores.items():
        series = [standing.series for standing in some if standing.outcome == SURVIVES]
        if series:
            claims.append(claim(names.score(score), series, len(some)))
        else:
            without.append(names.score(score))
    if not claims:
        if len(without) < 2:
            return f"{listed(without)} cannot be said to rise with adversarial training"
        *first, last = without
        return (
            f"neither {', '.join(first)} nor {last} can be said to rise with adversarial training"
        )
    rest = f"; {listed(without)} cannot be said to" if without else ""
    return f"{'; '.join(claims)}{rest}"


def before(standings: Sequence[Standing]) -> str:
    """In how many series scores go up or down before controls."""
    parts = []
    for score, some in by_score(standings).items():
        up, down = (sum(getattr(s.first, way) for s in some) for way in ("goes_up", "goes_down"))
        fall = f" and down in {down}" if down else ""
        parts.append(f"{names.score(score)} goes up in {up} of {len(some)} series{fall}")
    fills = {standing.fill for standing in standings}
    under = FIRST[fills.pop()] if len(fills) == 1 else EITHER
    return f"With attack strength, before controls and under {under}, {listed(parts)}."


def after(standings: Sequence[Standing]) -> str:
    """What becomes of the rises that there are before controls; empty where there are none."""
    up = [standing for standing in standings if standing.first.goes_up]
    if not up:
        return ""
    outcome = Counter(standing.outcome for standing in up)
    kept, lost, open_ = outcome[SURVIVES], outcome[DOES_NOT], outcome[UNCLEAR]
    if len(up) == 1:
        verdict = {SURVIVES: "survives", DOES_NOT: "does not survive"}.get(
            up[0].outcome, "cannot be told to survive"
        )
        return f"That rise {verdict} every control under both fills."
    rest = [f"{lost} {'do' if lost > 1 else 'does'} not"] if lost else []
    rest += [f"for {open_} it cannot be told"] if open_ else []
    every = "every control under both fills"
    if not kept:
        return f"Of these {len(up)} rises none survives {every}: {listed(rest)}."
    first = f"{kept} {'survive' if kept > 1 else 'survives'} {every}"
    return f"Of these {len(up)} rises {listed([first, *rest])}."


def _size(found: Sequence[tuple[Share, str]]) -> str:
    """How much of the rises a control explains, as far as intervals and verdicts say so."""
    bounded = [share.value for share, _ in found if share.bounded]
    if not bounded:
        against = all(verdict == DOES_NOT for _, verdict in found)
        return ": more than half of it" if against else ""
    middle = "" if len(bounded) == 1 else "in the median "
    missing = len(found) - len(bounded)
    without = f" (without {missing} that {'has' if missing == 1 else 'have'} no interval)"
    size = f": {middle}{100 * median(bounded):.0f} percent of it{without if missing else ''}"
    if most := sum(share.most for share, _ in found):
        where = f" in {of(most, len(found))}" if len(found) > 1 else ""
        size += f" (by its interval, more than half{where})"
    return size


def explanation(standings: Sequence[Standing]) -> str:
    """The control that most often has the largest share of a rise; empty where nothing goes up."""
    shares: dict[str, list[tuple[Share, str]]] = {}
    rises = 0
    for standing in standings:
        side = standing.first
        rises += bool(largest := side.largest())
        for share in largest:
            shares.setdefault(share.control, []).append((share, side.verdicts[share.control]))
    if not shares:
        return ""
    often = max(map(len, shares.values()))
    parts = [
        f"*{CONTROLS[name].title}*, which keeps {CONTROLS[name].keeps}{_size(found)}"
        for name, found in shares.items()
        if len(found) == often
    ]
    if len(parts) == 1:
        start = f"The control with the largest share of a rise, in {of(often, rises)}, is"
    else:
        start = f"The controls with the largest share of a rise, each in {of(often, rises)}, are"
    return f"{start} {', and '.join(parts)}."


def _behind(standings: Sequence[Standing]) -> str:
    return " ".join(filter(None, [before(standings), after(standings), explanation(standings)]))


def headline(standings: Sequence[Standing], of_runs: Sequence[str]) -> str:
    """The answer in bold, then the numbers behind it; a paragraph for each further attribution.

    Args:
        standings: Of all runs.
        of_runs: The scales of the runs, as `scale.of`.
    """
    first, *others = by_attribution(standings)
    parts = [f"**At {scales(of_runs)}, {answer(first)}.** {_behind(first)}"]
    for some in others:
        found = answer(some)
        parts.append(f"{found[0].upper()}{found[1:]}. {_behind(some)}")
    return "\n\n".join(parts)
