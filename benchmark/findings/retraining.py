"""The paragraphs on ROAR and KAR: before and after every control, and under either fill."""

from collections import Counter
from collections.abc import Iterator, Sequence

from pellucid.benchmark.findings import trends
from pellucid.benchmark.findings.headline import by_attribution, by_score
from pellucid.benchmark.findings.runs import FinishedRun, Sources
from pellucid.benchmark.findings.sentences import listed, of
from pellucid.benchmark.findings.standing import Share, Side, Standing, standings
from pellucid.benchmark.findings.trends import DOWN, UP, Trend
from pellucid.benchmark.paper.claim import written
from pellucid.benchmark.paper.tables import markdown
from pellucid.benchmark.results import names
from pellucid.benchmark.results.controls import DOES_NOT, SURVIVES, UNCLEAR
from pellucid.benchmark.units.outcomes import DIFFROAR, SPECIFIC, TITLES, Score
from pellucid.metrics import ATTRIBUTIONS, CONTROLS, FILLS, MODES, SHUFFLES, hierarchical

NOTHING = "-"


def every(sources: Sources) -> list[Standing]:
    """The standings of all runs."""
    return [standing for run in sources.runs for standing in standings(run)]


def _shares(shares: Sequence[Share]) -> str:
    """The largest share of a rise, of every control that has it."""
    return "; ".join(map(_share, shares)) or NOTHING


def _share(share: Share) -> str:
    ends = "" if not share.bounded else f" [{100 * share.low:.0f}, {100 * share.high:.0f}]"
    return f"{CONTROLS[share.control].title}: {100 * share.value:.0f} %{ends}"


def _cells(side: Side | None) -> list[str]:
    if side is None:
        return [NOTHING, NOTHING]
    return [written((side.rise, side.low, side.high)), _shares(side.largest())]


def table(found: Sequence[Standing]) -> str:
    """Rises, their largest shares, and joined verdicts: one row per series and score."""
    rows = [
        [
            standing.series,
            names.score(standing.score),
            *(cell for fill in FILLS for cell in _cells(standing.sides.get(fill))),
            standing.outcome,
        ]
        for standing in found
    ]
    headers = ["series", "score"]
    for fill in FILLS:
        headers += [f"rise, {names.FILL_TITLES[fill]}", "largest share of it"]
    return markdown(rows, [*headers, "verdict"])


def by_control(found: Sequence[Standing]) -> str:
    """In how many series a rise survives each control, does not, or cannot be told."""
    columns = {
        (score, fill): names.score(str(Score(some[0].measure, some[0].attribution, fill=fill)))
        for score, some in by_score(found).items()
        for fill in FILLS
        if any(fill in standing.sides for standing in some)
    }
    rows = []
    for control in CONTROLS.values():
        cells = []
        for score, fill in columns:
            verdicts = Counter(
                side.verdicts[control.name]
                for standing in found
                if standing.score == score and (side := standing.sides.get(fill))
                if control.name in side.verdicts
            )
            counts = (verdicts[outcome] for outcome in (SURVIVES, DOES_NOT, UNCLEAR))
            cells.append(" / ".join(map(str, counts)) if verdicts else NOTHING)
        if set(cells) != {NOTHING}:
            rows.append([control.title, *cells])
    return markdown(rows, ["control", *columns.values()])


def controls(sources: Sources) -> str:
    """How often rises survive each control, and how to read that."""
    found = every(sources)
    shared = ""
    if {DIFFROAR, *MODES} <= {standing.measure for standing in found}:
        measures = listed([TITLES[mode] for mode in MODES])
        shared = (
            f" {TITLES[DIFFROAR]} is made of the retrainings of {measures}: their rises are not"
            " independent of each other."
        )
    return (
        "A score's rise, from standard training to the largest radius, *survives* a control that"
        " explains less than half of it, beyond doubt; a score has to survive all of them, under"
        f" imputation both shuffled maps (`docs/protocol.md`).{shared} Series in which a rise"
        " survives / does not / cannot be told:\n\n"
        + "\n\n".join(map(by_control, by_attribution(found)))
    )


def rises(sources: Sources) -> str:
    """Every rise with its largest shares, and how to read them."""
    return (
        "Rises are from standard training to the largest radius; brackets are 95 percent"
        " intervals. Where a rise is above 0, the control that explains the largest share stands"
        " beside it, without brackets where Fieller's interval has no two ends within"
        f" ±{100 * hierarchical.WIDEST:.0f} percent. A score survives if it survives every control"
        f" that it has, under both fills.\n\n{table(every(sources))}"
    )


def _changes(found: Sequence[Standing]) -> Iterator[tuple[str, str]]:
    """The verdict under the mean fill and under imputation, of what has both."""
    for standing in found:
        if not set(FILLS) <= standing.sides.keys():
            continue
        mean, imputed = (standing.sides[fill].verdicts for fill in FILLS)
        for shuffle in SHUFFLES:
            if shuffle in mean and shuffle in imputed:
                yield mean[shuffle], imputed[shuffle]


def fills(sources: Sources) -> str | None:
    """What imputation changes; None where no run has both fills."""
    found = [s for s in every(sources) if set(FILLS) <= s.sides.keys()]
    changes = list(_changes(found))
    if not changes:
        return None
    up = []
    for score, some in by_score(found).items():
        mean, imputed = (sum(s.sides[fill].goes_up for s in some) for fill in FILLS)
        up.append(f"{names.score(score)} in {mean} and {imputed} of {len(some)} series")
    alike = sum(mean == imputed for mean, imputed in changes)
    turned = Counter(change for change in changes if change[0] != change[1])
    text = (
        "A removed pixel becomes its channel's mean, which shows where it was, or is imputed from"
        " its neighbours, which hides it. Before controls, scores go up with the mean and with"
        f" imputation: {listed(up)}. Against shuffled maps the verdict is the same under both fills"
        f" in {of(alike, len(changes))} cases"
    )
    if turned:
        ways = (
            f"from *{mean}* to *{imputed}* in {count}"
            for (mean, imputed), count in turned.most_common()
        )
        text += f"; imputation turns it {listed(list(ways))}"
    return f"{text}."


def _level(run: FinishedRun, score: str) -> tuple[int, int, int]:
    """Networks whose score lies above 0, below 0, and all, by their own intervals."""
    scores = run.table("scores")
    rows = scores[scores["score"] == score]
    return int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum()), len(rows)


def _row(sources: Sources, score: str, found: Sequence[Trend]) -> list[str] | None:
    """A score's levels and trends over all runs."""
    levels = [_level(run, score) for run in sources.runs]
    above, below, networks = (sum(part) for part in zip(*levels, strict=True))
    if not networks:
        return None
    some = [trend.direction for trend in found if trend.score == score]
    trend = [NOTHING, NOTHING]
    if some:
        trend = [f"{some.count(UP)} of {len(some)}", f"{some.count(DOWN)} of {len(some)}"]
    levels_shown = [f"{above} of {networks}", f"{below} of {networks}"]
    return [names.score(score), *levels_shown, *trend]


def image(sources: Sources) -> str | None:
    """What is left for the image itself: scores that a control is taken out of."""
    found = [trend for run in sources.runs for trend in trends.of_scores(run)]
    within = SHUFFLES[-1]
    rows = []
    for attribution in ATTRIBUTIONS:
        for fill in FILLS:
            scores = [
                *(Score(SPECIFIC + mode, attribution, within, fill) for mode in MODES),
                Score(DIFFROAR, attribution, fill=fill),
                Score("net_kar", attribution, fill=fill),
            ]
            rows += [row for score in scores if (row := _row(sources, str(score), found))]
    if not rows:
        return None
    headers = ["score", "networks above 0", "below 0", "series that go up", "down"]
    return (
        "A *specific* score is what a network's own maps score above its maps of other images of"
        " the same predicted class, which share all with them but the image. DiffROAR sets the top"
        " pixels against as many of the bottom ones, net KAR sets KAR against the masks alone."
        " Counted are networks and series whose interval excludes 0; up and down are with attack"
        f" strength, before any control.\n\n{markdown(rows, headers)}"
    )
