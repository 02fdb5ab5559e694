"""The answer in at most three sentences, from the verdicts on all data sets and norms."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from robust_interpretability.benchmark.findings import names
from robust_interpretability.benchmark.findings.sentences import claim, listed, of
from robust_interpretability.benchmark.findings.standing import Standing
from robust_interpretability.benchmark.results.controls import DOES_NOT, SURVIVES, UNCLEAR
from robust_interpretability.metrics import CONTROLS


def by_score(standings: Sequence[Standing]) -> dict[str, list[Standing]]:
    """The standings of each score, in the order in which the scores are met."""
    found: dict[str, list[Standing]] = {}
    for standing in standings:
        found.setdefault(standing.score, []).append(standing)
    return found


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
        if len(without) == 1:
            return f"{without[0]} cannot be said to rise with adversarial training"
        return f"neither {' nor '.join(without)} can be said to rise with adversarial training"
    rest = f"; {' and '.join(without)} cannot be said to" if without else ""
    return f"{'; '.join(claims)}{rest}"


def before(standings: Sequence[Standing]) -> str:
    """In how many series scores go up or down before controls."""
    parts = []
    for score, some in by_score(standings).items():
        up, down = (sum(getattr(s.first, way) for s in some) for way in ("goes_up", "goes_down"))
        fall = f" and down in {down}" if down else ""
        parts.append(f"{names.score(score)} goes up in {up} of {len(some)} series{fall}")
    return f"With attack strength, before controls and under the mean fill, {listed(parts)}."


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


def explanation(standings: Sequence[Standing]) -> str:
    """The control that most often explains most of a rise; empty where nothing goes up."""
    largest = [share for standing in standings if (share := standing.first.largest())]
    if not largest:
        return ""
    shares: dict[str, list[float]] = {}
    for share in largest:
        shares.setdefault(share.control, []).append(share.value)
    name = max(shares, key=lambda control: (len(shares[control]), median(shares[control])))
    control, found = CONTROLS[name], shares[name]
    middle = "" if len(found) == 1 else "in the median "
    size = f"{middle}{100 * median(found):.0f} percent"
    return (
        f"What explains most of a rise, in {of(len(found), len(largest))}, is the control"
        f" *{control.title}*, which keeps {control.keeps}: {size} of it."
    )


def headline(standings: Sequence[Standing], scales: Sequence[str]) -> str:
    """The answer in bold, then the numbers behind it.

    Args:
        standings: Of all runs.
        scales: The scales of the runs.
    """
    where = f"{listed(list(dict.fromkeys(scales)))} scale{'s' if len(set(scales)) > 1 else ''}"
    behind = filter(None, [before(standings), after(standings), explanation(standings)])
    return f"**At the {where}, {answer(standings)}.** {' '.join(behind)}"
