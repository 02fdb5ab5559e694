"""The text of the findings: it says what made-up verdicts say, and no more."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pellucid.benchmark.cli import app
from pellucid.benchmark.config import toml
from pellucid.benchmark.config.versions import PROTOCOL_VERSION
from pellucid.benchmark.findings import report, runs, scale
from pellucid.benchmark.findings.headline import answer, explanation, headline
from pellucid.benchmark.findings.retraining import every
from pellucid.benchmark.findings.runs import Sources
from pellucid.benchmark.findings.sentences import ALTERED, CLAIM
from pellucid.benchmark.findings.standing import standings
from pellucid.benchmark.results import names, sweeps
from pellucid.benchmark.units import configuration
from pellucid.models.errors import InputError
from tests.benchmark.made_findings import (
    DOES_NOT,
    SURVIVES,
    UNCLEAR,
    always,
    cells,
    measure_verdicts,
    run,
    scores,
    sources,
    tables,
    trust,
)

TARGET = Path("findings.md")
CLAIMED = re.compile(
    rf"(ROAR|KAR|DiffROAR) \(Gradient\) {CLAIM} in (?:both|all \d+|\d+ of \d+) series \(([^()]*)\)"
)


def text(found: runs.Sources) -> str:
    return report.text(found, [r.folder for r in found.runs], TARGET, [])


def behind(found: runs.Sources) -> str:
    """The document of tables."""
    return report.tables_text(found, TARGET, [])


def prose(document: str) -> str:
    """Without tables, commands and pictures."""
    without = re.sub(r"```.*?```", "", document, flags=re.S)
    return "\n".join(line for line in without.splitlines() if not line.startswith(("|", "!")))


def cells_of(document: str, column: str) -> dict[str, str]:
    """A column of the table that has it, by the cells of its first column."""
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in document.splitlines()]
    start = next(i for i, line in enumerate(lines) if column in line)
    rows = itertools.takewhile(bool, lines[start + 2 :])
    return {row[0]: row[lines[start].index(column)] for row in rows}


def test_all_survives():
    found = sources(always(SURVIVES), always(SURVIVES))
    series = "CIFAR-10 L2, CIFAR-10 L∞, MNIST L2, MNIST L∞"
    assert headline(every(found), ["reduced", "reduced"]) == (
        f"**At the reduced scale, ROAR (Gradient) {CLAIM} in all 4 series ({series}); KAR"
        f" (Gradient) {CLAIM} in all 4 series ({series}); DiffROAR (Gradient) {CLAIM} in all 4"
        f" series ({series}).** With attack strength, before controls"
        " and under the mean fill, ROAR (Gradient) goes up in 4 of 4 series, KAR (Gradient)"
        " goes up in 4 of 4 series and DiffROAR (Gradient) goes up in 4 of 4 series. Of these 12"
        " rises 12 survive every control under both fills."
        " The control with the largest share of a rise, in all 12, is *standard map, blurred to"
        " match*, which keeps the map's smoothness: in the median 11 percent of it."
    )
    assert text(found).split("\n\n")[1] == headline(every(found), ["reduced"])


@pytest.mark.parametrize(
    ("verdict", "ending"),
    [
        (DOES_NOT, "none survives every control under both fills: 6 do not."),
        (UNCLEAR, "none survives every control under both fills: for 6 it cannot be told."),
    ],
)
def test_nothing_survives(verdict, ending):
    found = text(sources(always(verdict)))
    assert CLAIM not in found
    assert found.split("\n\n")[1].startswith(
        "**At the reduced scale, neither ROAR (Gradient), KAR (Gradient) nor DiffROAR (Gradient)"
        " can be said to rise with adversarial training.**"
    )
    assert f"Of these 6 rises {ending}" in found


def test_nothing_goes_up_even_before_controls():
    found = headline(every(sources(always(UNCLEAR, 0.0))), ["quick"])
    assert found == (
        "**At the quick scale, neither ROAR (Gradient), KAR (Gradient) nor DiffROAR (Gradient) can"
        " be said to rise with adversarial training.** With attack strength, before controls and"
        " under the mean fill, ROAR (Gradient) goes up in 0 of 2 series, KAR (Gradient) goes up in"
        " 0 of 2 series and DiffROAR (Gradient) goes up in 0 of 2 series."
    )
    falling = headline(every(sources(always(DOES_NOT, -0.1))), ["quick"])
    assert "goes up in 0 of 2 series and down in 2" in falling


def test_every_attribution_has_a_paragraph_and_a_table_of_its_own():
    """Gradient survives everything; Gradient x Input, on the same networks, nothing."""
    made = tables(always(SURVIVES))
    lost = tables(always(DOES_NOT))["verdicts"]
    lost["score"] = lost["score"].str.replace("gradient", "gradient_input")
    made["verdicts"] = pd.concat([made["verdicts"], lost])
    found = Sources([run("reduced-cifar10", made, 3)], {})
    document = text(found)
    first, second = document.split("\n\n")[1:3]
    assert first == headline(every(sources(always(SURVIVES))), ["reduced"])
    assert second.startswith(
        "Neither ROAR (Gradient x Input), KAR (Gradient x Input) nor DiffROAR (Gradient x Input)"
        " can be said to rise with adversarial training. With attack strength"
    )
    assert "none survives every control under both fills: 6 do not" in second
    assert cells_of(document, "ROAR (Gradient)")["mean training map"] == "2 / 0 / 0"
    assert cells_of(document, "ROAR (Gradient x Input)")["mean training map"] == "0 / 2 / 0"


def test_mixed_verdicts_are_told_apart():
    """ROAR survives for L2 on CIFAR-10 alone; one control under imputation is enough against it."""

    def cifar(norm: str, mode: str, fill: str, control: str) -> tuple[str, float]:
        against = norm == "linf" and fill == "imputed" and control == "shuffled"
        return (DOES_NOT if against or mode != "roar" else SURVIVES), 0.1

    found = every(sources(cifar, always(UNCLEAR)))
    assert answer(found) == (
        f"ROAR (Gradient) {CLAIM} in 1 of 4 series (CIFAR-10 L2); KAR (Gradient) and"
        " DiffROAR (Gradient) cannot be said to"
    )
    assert "Of these 12 rises 1 survives every control under both fills, 5 do not and for 6 it" in (
        headline(found, ["reduced"])
    )


def test_the_control_with_the_largest_share_is_named():
    """In five of the six rises; the fourth has another, and a share without an interval."""
    made = tables(always(DOES_NOT))
    table = made["verdicts"]
    first = (table["norm"] == "l2") & (table["score"] == "roar_gradient")
    table.loc[table["control"] == "mean", "share"] = 3.0
    table.loc[first & (table["control"] == "blurred"), ["share", "share_low", "share_high"]] = (
        4.0,
        np.nan,
        np.nan,
    )
    found = list(standings(run("quick", made)))
    assert explanation(found).startswith(
        "The control with the largest share of a rise, in 5 of 6, is *mean training map*"
    )
    assert explanation(found).endswith(
        ": in the median 300 percent of it (by its interval, more than half in all 5)."
    )
    document = behind(runs.Sources([run("quick", made)], {}))
    assert "| own map, blurred: 400 % |" in re.sub(" +", " ", document)
    assert "| mean training map: 300 % [70, 110] |" in re.sub(" +", " ", document)
    assert explanation([]) == ""


def of_one_score(made: dict[str, pd.DataFrame], mode: str = "roar") -> pd.DataFrame:
    table = made["verdicts"]
    made["verdicts"] = table[table["score"].str.startswith(mode)].reset_index(drop=True)
    return made["verdicts"]


def test_no_more_than_half_is_said_only_where_the_interval_or_the_verdict_does():
    made = tables(always(SURVIVES))
    of_one_score(made)
    assert "more than half" not in explanation(list(standings(run("quick", made))))
    for verdict, said in ((DOES_NOT, ": more than half of it."), (UNCLEAR, "smoothness.")):
        made = tables(always(verdict))
        table = of_one_score(made)
        table[["share_low", "share_high"]] = -np.inf, np.inf
        found = explanation(list(standings(run("quick", made))))
        assert found.endswith(said)
        assert "percent" not in found


def test_controls_that_lead_equally_often_are_all_named():
    made = tables(always(DOES_NOT))
    table = of_one_score(made)
    table.loc[(table["norm"] == "l2") & (table["control"] == "mean"), "share"] = 3.0
    found = explanation(list(standings(run("quick", made))))
    assert found.startswith("The controls with the largest share of a rise, each in 1 of 2, are")
    assert "*mean training map*" in found
    assert "*standard map, blurred to match*" in found


def test_imputation_alone_is_not_called_the_mean_fill():
    made = tables(always(DOES_NOT))
    table = made["verdicts"]
    made["verdicts"] = table[table["score"].str.contains("imputed")]
    found = headline(list(standings(run("quick", made))), ["quick"])
    assert "before controls and under imputation, ROAR" in found
    assert "mean fill" not in found


def test_only_a_preset_is_of_the_papers_scale():
    preset = configuration.resolve("paper-cifar10", None, [])
    assert scale.of(preset) == "paper"
    assert scale.of(preset.model_copy(update={"seeds": preset.seeds + 1})) == ALTERED
    assert scale.of(configuration.resolve("quick", None, ["seeds=7"])) == "quick"
    found = every(sources(always(UNCLEAR)))
    assert headline(found, ["quick", ALTERED, "reduced"]).startswith(
        "**At the quick and reduced scales and a scale altered from the paper's, "
    )
    altered = replace(
        run("quick", tables(always(DOES_NOT))), config=preset.model_copy(update={"seeds": 9})
    )
    document = text(runs.Sources([altered], {}))
    assert "No run is at the paper's scale" in document
    assert "`paper-cifar10`" in document.split("Not among these runs: ")[1]


def test_images_that_are_not_published_are_not_called_all():
    one = run("paper-cifar10", tables(always(DOES_NOT)))
    assert "| -, - |" in re.sub(" +", " ", scale.scale(runs.Sources([one], {})))


def test_an_excess_is_named_with_its_loss_and_model():
    assert names.score("manifold_xent_excess_over_noise") == (
        "manifold excess over white noise (cross-entropy, by the VAE-GAN's encoder)"
    )
    found = {
        names.score(f"manifold_{loss}{model}_excess_over_{null}")
        for loss in ("xent", "cw")
        for model in ("", "_optimised", "_pca")
        for null in names.NULLS
    }
    assert len(found) == 18


def test_one_complete_seed_of_several_is_said():
    found = sources(always(DOES_NOT))
    table = found.runs[0].tables["measures"]
    short = (table["measure"] == "gini") & (table["norm"] == "l2") & (table["seed"] > 0)
    found.runs[0].tables["measures"] = table[~(short & (table["strength"] == 1))]
    assert (
        "Without an interval, as one seed alone is complete: Gini index (Gradient) on CIFAR-10 L2."
        in text(found)
    )
    assert "Without an interval" not in text(sources(always(DOES_NOT)))


def test_a_share_of_what_does_not_rise_is_not_stated():
    found = sources(always(UNCLEAR, 0.0))
    assert explanation(every(found)) == ""
    assert " %" not in behind(found)
    assert " %" in behind(sources(always(UNCLEAR, 0.1)))


@pytest.mark.parametrize("left_out", range(0, len(cells()), 3))
def test_a_control_that_was_not_run_is_none_that_is_survived(left_out):
    """Without any one of the verdicts that the protocol names, its score does not survive."""
    made = tables(always(SURVIVES))
    norm, mode, *_ = cells()[left_out]
    made["verdicts"] = made["verdicts"].drop(index=left_out)
    outcomes = {(s.norm, s.measure): s.outcome for s in standings(run("quick", made))}
    assert outcomes.pop((norm, mode)) == UNCLEAR
    assert set(outcomes.values()) == {SURVIVES}


def test_one_fill_is_not_both():
    made = tables(always(SURVIVES))
    made["verdicts"] = made["verdicts"][~made["verdicts"]["score"].str.contains("imputed")]
    found = text(runs.Sources([run("quick", made)], {}))
    assert CLAIM not in found
    assert "## What the fill decides" not in found
    assert "ROAR and KAR under both fills" in found.split("Not measured in these runs: ")[1]


def allowed(found: runs.Sources) -> set[tuple[str, str]]:
    """The scores and series that survive everything, from the tables of verdicts themselves."""
    left = set()
    for one in found.runs:
        table = one.tables["verdicts"]
        for norm, title in (("l2", "L2"), ("linf", "L∞")):
            for mode in ("roar", "kar", "diffroar"):
                part = table[(table["norm"] == norm) & table["score"].str.startswith(mode)]
                wanted = sum(cell[:2] == (norm, mode) for cell in cells())
                if len(part) == wanted and (part["verdict"] == SURVIVES).all():
                    left.add((mode.upper().replace("DIFF", "Diff"), f"{one.label} {title}"))
    return left


def test_random_verdicts_never_claim_more_than_survives():
    """Every claim in the text; one verdict in twenty is against, one row in fifty is missing."""
    rng, numbers = np.random.default_rng(0), []

    def decide(*_: str) -> tuple[str, float]:
        verdict = rng.choice([SURVIVES, DOES_NOT, UNCLEAR], p=(0.95, 0.03, 0.02))
        return str(verdict), float(rng.normal())

    for _ in range(8):
        found = sources(decide, decide, decide)
        for one in found.runs:
            table = one.tables["verdicts"]
            one.tables["verdicts"] = table[rng.random(len(table)) < 0.98]
        document = text(found)
        claims = CLAIMED.findall(document)
        claimed = {(mode, series) for mode, listed in claims for series in listed.split(", ")}
        assert claimed == allowed(found)
        assert document.count(CLAIM) == len(claims)
        numbers.append(len(claimed))
    assert 0 < sum(numbers) < 8 * 12


def test_what_is_missing_is_left_out_and_named():
    made = {k: v for k, v in tables(always(DOES_NOT)).items() if k in ("verdicts", "scores")}
    made["scores"] = made["scores"][
        ~made["scores"]["score"].str.startswith(("manif", "spec", "dif"))
    ]
    found = text(runs.Sources([run("quick", made)], {}))
    absent = found.split("Not measured in these runs: ")[1].split("\n")[0]
    for section in report.SECTIONS[2:]:
        assert f"## {section.title}" not in found
        assert section.about in absent
    for section in report.SECTIONS[:2]:
        assert f"## {section.title}" in found
        assert section.about not in absent


def test_one_seed_is_said():
    found = text(sources(always(DOES_NOT), seeds=1))
    assert "One seed (CIFAR-10) has no interval over seeds, so nothing is said of it." in found
    assert "With one seed (CIFAR-10) a verdict is about these very networks" in found
    assert "one seed: unknown" in behind(sources(always(DOES_NOT), seeds=1))
    assert "Not shown to go either way" not in found
    several = text(sources(always(DOES_NOT)))
    assert "very networks, not" not in several
    assert "One seed" not in several


def test_what_has_not_fitted_is_said():
    found = sources(always(DOES_NOT), always(DOES_NOT))
    assert "Every standard network classifies 98 percent" in text(found)
    scores = found.runs[1].tables["scores"]
    scores.loc[scores["score"] == "train_accuracy", "value"] = 0.9
    assert "On MNIST the standard network classifies less than 98 percent" in text(found)


def test_measures_by_their_interval_over_seeds():
    found = single_spaced(text(sources(always(DOES_NOT), always(DOES_NOT))))
    assert "| Gini index (Gradient) | higher | 4, 0 of 4 | 0 / 0 / 4 | - |" in found
    assert "| total variation (Gradient) | lower | 0, 4 of 4 | 0 / 0 / 4 | - |" in found
    assert "| ROAD (Gradient) | higher | 0, 0 of 4 | - | - |" in found
    assert "Of 8 changes for the better with attack strength none survives every control" in found
    assert "of 12, 0.6 would exclude 0" in found


def single_spaced(text: str) -> str:
    return re.sub(" +", " ", text)


@pytest.mark.parametrize(
    ("verdict", "counts", "words"),
    [
        (SURVIVES, "2 / 0 / 0", "2 survive every control"),
        (DOES_NOT, "0 / 2 / 0", "none survives every control"),
    ],
)
def test_measures_after_their_controls(verdict, counts, words):
    made = sources(always(DOES_NOT))
    table = made.runs[0].tables
    table["verdicts"] = pd.concat([table["verdicts"], measure_verdicts(verdict)])
    found = single_spaced(text(made))
    row = f"| Gini index (Gradient) | higher | 2, 0 of 2 | {counts} | another image's map (both) |"
    assert row in found
    assert "| total variation (Gradient) | lower | 0, 2 of 2 | 0 / 0 / 2 | - |" in found
    assert f"Of 4 changes for the better with attack strength {words}" in found


@pytest.mark.parametrize("missing", ["mean", "shuffled_within"])
def test_a_measure_without_one_of_its_controls_does_not_survive(missing):
    made = sources(always(DOES_NOT))
    table = made.runs[0].tables
    of_gini = measure_verdicts(SURVIVES)
    table["verdicts"] = pd.concat([table["verdicts"], of_gini[of_gini["control"] != missing]])
    found = single_spaced(text(made))
    assert "| Gini index (Gradient) | higher | 2, 0 of 2 | 0 / 0 / 2 |" in found


def test_scores_that_agree_in_every_run():
    assert "(Gini index (Gradient), ROAR (Gradient))" in text(sources(always(DOES_NOT)))
    found = sources(always(DOES_NOT), always(DOES_NOT))
    found.runs[1].tables["agreement"]["spearman"] *= -1
    assert "No two scores rank the 7 networks alike" in text(found)
    few = sources(always(DOES_NOT))
    few.runs[0].tables["agreement"].loc[0, "networks"] = 4
    assert "No two scores rank the 7 networks alike" in text(few)


def test_the_manifold():
    found = text(sources(always(DOES_NOT)))
    tables = behind(sources(always(DOES_NOT)))
    assert "excess over white noise falls in both series" in found
    assert "| CIFAR-10 L2 | 0.50 → -0.50, falls" in re.sub(" +", " ", tables)
    assert "CIFAR-10: by the VAE-GAN's encoder, not calibrated." in tables
    assert "whether distances to the manifold model are right" in found
    worse = sources(always(DOES_NOT))
    worse.runs[0].tables["manifold_model"].loc[0, "value"] = 0.03
    assert "no better than a PCA as large (error 0.0300 against 0.0200)" in behind(worse)


def test_a_calibrated_model_decides_over_every_null():
    found = sources(always(DOES_NOT))
    scores = found.runs[0].tables["scores"]
    alone = scores[scores["score"] == "manifold_xent_excess_over_noise"]
    nulls = [
        alone.assign(score=f"manifold_xent_{model}_excess_over_{null}")
        for model in ("optimised", "pca")
        for null in ("noise", "phases", "permuted")
    ]
    found.runs[0].tables["scores"] = pd.concat([scores, *nulls])
    found.runs[0].tables["calibration"] = pd.DataFrame(
        {
            "manifold": ["encoder", "pca"],
            "mean_squared_error": [0.01, 0.02],
            "blur": 0.0,
            "spearman": [0.5, 0.95],
        }
    )
    document = text(found)
    assert "excess over another image's change" in document
    assert "judged by the PCA" in behind(found)
    assert "nothing is concluded" not in document
    found.runs[0].tables["calibration"]["spearman"] = 0.5
    assert "Nothing is concluded for CIFAR-10: its model is not good enough." in text(found)


def test_trust_by_every_truth():
    known = sources(always(DOES_NOT))._replace(trust={"tetrominoes": trust()})
    found = text(known)
    assert (
        "No score agrees with every truth over networks and attributions at once. ROAD agrees with"
        " every truth over networks. Opposed to every truth, with rho below 0: infidelity over"
        " networks. Attack strength itself agrees" in found
    )
    rows = cells_of(behind(known), "over networks")
    assert rows["ROAD"] == "0.70 to 0.80, above 0 by both"
    assert rows["ROAR"] == "0.10 to 0.60, above 0 by 1 of 2"
    assert rows["infidelity (less is better)"] == "-0.80 to -0.70, below by both"
    assert rows["a random score"] == "0.00 to 0.10"
    assert list(rows)[-2:] == ["a random score", "attack strength"]
    assert "over networks, by rho of 0.60 to 0.65: maps" in found
    unclear = trust().assign(low=-0.1, high=0.1)
    unclear = text(sources(always(DOES_NOT))._replace(trust={"tetrominoes": unclear}))
    assert "Attack strength itself" not in unclear
    assert "No score agrees with every truth.\n" in unclear


def test_two_pages_and_no_raw_keys():
    """Three data sets with every table: a page's words beside pictures and short tables."""
    found = sources(*[always(DOES_NOT)] * 3)._replace(trust={"tetrominoes": trust()})
    document = text(found)
    assert len(prose(document).split()) <= 800
    assert sum(line.startswith("|") for line in document.splitlines()) <= 40
    for page in (document, behind(found)):
        assert not re.search(r"\b[a-z]+_[a-z]+\b", prose(page).replace("cifar_cnn", ""))
        assert "linf" not in page.lower()
        assert "nan" not in page
    assert behind(found).count("| does not") == 18


def test_runs_of_one_data_set_are_named_by_themselves():
    folders = [Path(name) for name in ("x/one", "x/two", "x/three")]
    found = runs.labels([("cifar10", "a"), ("cifar10", "b"), ("mnist", "c")], folders)
    assert found == ["a", "b", "MNIST"]
    with pytest.raises(InputError, match="x/one and x/two hold runs of one data set, all named a"):
        runs.labels([("cifar10", "a"), ("cifar10", "a")], folders[:2])


def published(folder: Path, made: dict[str, pd.DataFrame], version: int = PROTOCOL_VERSION) -> Path:
    folder.mkdir(parents=True)
    config = configuration.resolve("quick", None, [])
    (folder / "config.toml").write_text(configuration.dumps(config))
    (folder / "environment.json").write_text(json.dumps({"protocol_version": version}))
    for name, table in made.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def swept(folder: Path, version: int = PROTOCOL_VERSION) -> Path:
    """The folder of a sweep over data sets with its joined table of trust."""
    folder.mkdir(parents=True)
    sweeps.record(folder, {"data.name=a": {"data.name": "a"}})
    record = toml.read(folder / sweeps.RECORD, "It") | {"protocol_version": version}
    (folder / sweeps.RECORD).write_text(toml.dumps(record))
    trust().to_csv(folder / "trust.csv", index=False)
    return folder


def trained_longer(folder: Path) -> Path:
    """A sweep over epochs: the rise of ROAR is .02 after 5 and .10 after 40, KAR's the same."""
    folder.mkdir(parents=True)
    sweeps.record(folder, {f"training.epochs={n}": {"training.epochs": n} for n in (5, 40)})
    rises, of_networks = [], []
    for epochs, roar in ((5, 0.02), (40, 0.1)):
        front = {"swept.training.epochs": epochs, "norm": "l2", "loss": "xent", "seeds": 3}
        rises += [
            front | {"score": s, "rise": v, "rise_low": v - 0.03, "rise_high": v + 0.03}
            for s, v in (("roar_gradient", roar), ("kar_gradient", 0.04))
        ]
        made = scores(np.random.default_rng(0))
        made.loc[made["score"] == "train_accuracy", "value"] = 0.5 + epochs / 100
        of_networks.append(made.assign(**{"swept.training.epochs": epochs}))
    pd.DataFrame(rises).to_csv(folder / "rises.csv", index=False)
    pd.concat(of_networks).to_csv(folder / "scores.csv", index=False)
    return folder


def test_what_a_swept_setting_does(tmp_path):
    first = published(tmp_path / "quick", tables(always(SURVIVES), 1))
    sweep = trained_longer(tmp_path / "lengths")
    (sweep / "sweep_training.epochs.png").write_bytes(b"")
    found = runs.read([first, sweep])
    document = report.text(found, [first, sweep], tmp_path / "findings.md", [])
    assert "- settings that were swept" not in document
    lines = [line for line in document.splitlines() if line.startswith("| lengths L2")]
    cells = [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]
    assert cells == [
        ["5", "0.550, 0.900", "0.550, 0.800", "0.020 [-0.010, 0.050]", "0.040 [0.010, 0.070]"],
        ["40", "0.900, 0.900", "0.900, 0.800", "0.100 [0.070, 0.130]", "0.040 [0.010, 0.070]"],
    ]
    assert (
        "From 5 to 40 epochs of base training rises change on lengths L2: ROAR (Gradient) by"
        " 0.080 [0.038, 0.122], it goes up; KAR (Gradient) by 0.000 [-0.042, 0.042], not shown to"
        " differ" in document
    )
    picture = "![sweep_training.epochs](lengths/sweep_training.epochs.png)"
    assert picture in report.tables_text(found, tmp_path / "findings.md", [])
    assert picture not in document
    assert document.count("rises with adversarial training") == text(found).count(CLAIM)
    assert "run --config 'lengths/training.epochs=5/config.toml'" in document
    assert "made at commit" not in document
    record = {"commit": "0123456789", "protocol_version": PROTOCOL_VERSION}
    (sweep / "training.epochs=5").mkdir()
    for folder in (sweep, sweep / "training.epochs=5"):
        (folder / "environment.json").write_text(json.dumps(record))
        record["commit"] = "abcdefghij"
    again = report.text(runs.read([first, sweep]), [first, sweep], tmp_path / "findings.md", [])
    assert re.search(r"at commit 0123456 and abcdefg\.", again)


def test_reads_published_tables(tmp_path):
    made = tables(always(SURVIVES), 1)
    folder = published(tmp_path / "quick", made)
    found = runs.read([folder])
    shown = [r.folder for r in found.runs]
    expected = runs.Sources([replace(run("quick", made, 1), folder=folder, environment={})], {})
    assert report.text(found, shown, TARGET, []) == report.text(expected, shown, TARGET, [])
    assert CLAIM in text(found)


def test_a_run_with_known_truth_gives_its_trust_alone(tmp_path):
    first = published(tmp_path / "quick", tables(always(DOES_NOT), 1))
    second = published(tmp_path / "known", tables(always(SURVIVES), 1) | {"trust": trust()})
    sweep = swept(tmp_path / "sweep")
    found = runs.read([first, second, sweep])
    assert [one.folder for one in found.runs] == [first]
    assert list(found.trust) == ["digits", "sweep"]
    assert CLAIM not in text(found)
    with pytest.raises(InputError, match="None of the runs has verdicts"):
        runs.read([second])


def test_two_tables_of_trust_of_one_name_are_refused(tmp_path):
    found = tables(always(SURVIVES), 1) | {"trust": trust()}
    ran = [published(tmp_path / name, found) for name in "ab"]
    sets = [swept(tmp_path / name / "known") for name in "cd"]
    for first, second in (ran, sets):
        with pytest.raises(InputError, match=f"{first} and {second} hold tables of one name"):
            runs.read([first, second])


def test_sweeps_are_checked(tmp_path):
    old, bare = swept(tmp_path / "old", version=2), swept(tmp_path / "bare")
    (bare / "trust.csv").unlink()
    nothing = swept(tmp_path / "nothing")
    (nothing / "sweep.toml").unlink()
    for folder, line in (
        (old, "is of version 2 of the protocol"),
        (nothing, "is of version none of the protocol"),
        (bare, f"is a sweep without joined tables .* of its runs, as {bare}/data.name=a"),
    ):
        with pytest.raises(InputError, match=line):
            runs.read([folder])


def test_commands_have_a_line_for_every_source_of_trust(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = tables(always(SURVIVES), 1)
    known = plain | {"trust": trust()}
    preset = swept(Path("runs/ground-truth"))
    values = {v.name: v.swept for v in configuration.variants("ground-truth", None, [])}
    sweeps.record(preset, values)
    folders = [
        published(Path("runs/quick"), tables(always(SURVIVES), 1)),
        published(Path("made/known"), known),
        preset,
        swept(Path("made/other")),
    ]
    (Path("made/known") / "results").mkdir()  # a run, not its published tables
    monkeypatch.setattr(
        runs, "read_tables", lambda folder: known if folder.name == "known" else plain
    )
    found = scale.commands(runs.read(folders), folders, TARGET)
    block = found.split("```")[1].strip().splitlines()
    assert "`runs/quick`, `runs/ground-truth` and `made/other` hold tables of these runs." in found
    assert [line.removeprefix("python run_benchmark.py ") for line in block[:-1]] == [
        "run --preset quick",
        "run --preset quick --out made/known",
        "run --preset ground-truth",
        "run --config 'made/other/data.name=a/config.toml' --out 'made/other/data.name=a'",
        "plots --out made/other",
    ]


def test_refusals_are_one_line(tmp_path, capsys):
    old = published(tmp_path / "old", tables(always(SURVIVES)), version=2)
    without = tables(always(SURVIVES))
    del without["verdicts"]
    bare = published(tmp_path / "bare", without)
    for folders, line in (
        ([old], f"is of version 2 of the protocol. Findings need version {PROTOCOL_VERSION}"),
        ([bare], "has no verdicts on a score's rise"),
        ([tmp_path], "No finished run in"),
        ([bare, bare], "A folder is named twice"),
    ):
        assert app.entry_point(["findings", *map(str, folders)]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1


def test_commands_name_presets_and_no_folder_of_this_machine(tmp_path):
    folder = published(tmp_path / "quick", tables(always(SURVIVES), 1))
    found = runs.read([folder])
    document = report.text(found, [folder], tmp_path / "out" / "findings.md", [])
    assert str(tmp_path) not in document
    assert "run_benchmark.py run --preset quick\n" in document
    assert "run_benchmark.py findings quick --report findings.md\n" in document
    changed = toml.read(folder / "config.toml", "It") | {"seeds": 2}
    (folder / "config.toml").write_text(toml.dumps(changed))
    again = report.text(runs.read([folder]), [folder], TARGET, [])
    assert "run --config quick/config.toml --out quick\n" in again
