"""Submissions without waiting for a person: the workflow's own lines, in a local repository.

A good, a lying, a bad and hostile submissions are pull requests of a bare repository; each is
fetched, measured and answered by what `.github/workflows/submission.yml` runs.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import keras
import pytest
import yaml

from pellucid.leaderboard.board import Board
from tests.clone import Clone
from tests.conftest import ROOT
from tests.submission.made import CARD, Repository, submission

WORKFLOWS = ROOT / ".github" / "workflows"
TEXT = (WORKFLOWS / "submission.yml").read_text()
JOBS = yaml.safe_load(TEXT)["jobs"]
COMMENT = Path("runs", "verify", "comment.md")


def lines(job: str) -> list[dict]:
    """The steps of a job that run something other than an installation."""
    steps = [step for step in JOBS[job]["steps"] if "run" in step]
    return [step for step in steps if "pip install" not in step["run"]]


class Requests(NamedTuple):
    """A checkout of the base branch, and the repository with the pull requests.

    Attributes:
        clone: The checkout.
        repository: Where submissions are made.
        bare: What the checkout fetches from.
        model: A trained network's file.
        accuracy: Its accuracy on the test images.
    """

    clone: Clone
    repository: Repository
    bare: Path
    model: bytes
    accuracy: float

    def open(self, number: int, commit: str) -> str:
        self.repository.git("push", "--quiet", str(self.bare), f"{commit}:refs/pull/{number}/head")
        return commit

    def verify(self, number: int, commit: str) -> subprocess.CompletedProcess:
        """Runs the job's lines as the workflow would, up to the first that fails."""
        event = {
            "${{ github.event.pull_request.number }}": str(number),
            "${{ github.event.pull_request.head.sha }}": commit,
        }
        for step in lines("verify"):
            stated = {name: event[value] for name, value in step["env"].items()}
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
                cwd=self.clone.root,
                env=self.clone.environment | stated,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                break
        return done

    def comment(self) -> str:
        return (self.clone.root / COMMENT).read_text()


def saved(model: keras.Model, tmp_path: Path) -> bytes:
    model.save(tmp_path / "net.keras")
    return (tmp_path / "net.keras").read_bytes()


def trained(digits) -> keras.Model:
    """A small network, trained for a few seconds."""
    keras.utils.set_random_seed(0)
    stack = [keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input(digits.info.shape), *stack, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(digits.x_train / 255, digits.y_train, epochs=12, verbose=0)
    return model


def reported(scores: dict[str, float]) -> str:
    stated = "".join(f"{name} = {value}\n" for name, value in scores.items())
    return f'track = "digits"\nmodel = "net.keras"\n\n[reported]\n{stated}'


@pytest.fixture(scope="module")
def requests(tmp_path_factory, digits) -> Requests:
    root = tmp_path_factory.mktemp("requests")
    clone = Clone(root / "project")
    repository = Repository(clone.root)
    repository.git("clone", "--quiet", "--bare", ".", str(root / "bare.git"))
    repository.git("clone", "--quiet", str(root / "bare.git"), str(root / "checkout"))
    clone.root = root / "checkout"
    if (ROOT / "runs" / "quick" / "units").is_dir():  # what all submissions share, as in the cache
        shutil.copytree(ROOT / "runs" / "quick", clone.root / "runs" / "quick")
    network = trained(digits)
    accuracy = network.evaluate(digits.x_test / 255, digits.y_test, verbose=0)[1]
    return Requests(clone, repository, root / "bare.git", saved(network, root), accuracy)


@pytest.fixture(scope="module")
def good(requests) -> subprocess.CompletedProcess:
    """The good submission, measured: the one full measurement."""
    text = reported({"test_accuracy": round(requests.accuracy, 3)})
    files = submission("good", submission_toml=text, net_keras=requests.model)
    return requests.verify(1, requests.open(1, requests.repository.branch(files)))


def entry_of(clone: Clone) -> dict:
    (path,) = (clone.root / "runs/verify/board/entries/digits").glob("my-cnn-*.json")
    return json.loads(path.read_text())


def test_a_good_submission(requests, good):
    assert good.returncode == 0, good.stderr
    first, about, agrees, *_ = requests.comment().split("\n\n")
    assert re.fullmatch(r"\*\*My CNN, digits: .*; by ROAR GX, indistinguishable from .*\*\*", first)
    assert re.match(r"Measured in (\d+ min )?\d+ s: commit [0-9a-f]{12}, protocol version", about)
    assert agrees == "The reported score agrees with the measured one."
    row = next(r for r in requests.comment().splitlines() if "`test_accuracy`" in r)
    assert f"{requests.accuracy:.3f} [" in row
    assert "leaderboard: unchanged" in good.stdout
    assert entry_of(requests.clone)["verified"] is True


def test_the_checkout_is_as_it_was_and_the_copy_in_order(requests, good):
    status = requests.clone.call("git status --porcelain")
    assert (status.returncode, status.stdout) == (0, "")
    assert not (requests.clone.root / "submissions").exists()
    done = requests.clone.call(
        "python run_benchmark.py leaderboard --check --board runs/verify/board"
    )
    assert done.returncode == 0, done.stderr
    assert "My CNN" in (requests.clone.root / "runs/verify/board/LEADERBOARD.md").read_text()


def test_a_lying_submission(requests, good):
    """Every score as measured, to three decimals, but test accuracy."""
    scores = {n: round(s["value"], 3) for n, s in entry_of(requests.clone)["scores"].items()}
    text = reported(scores | {"test_accuracy": 0.99})
    files = submission("lying", submission_toml=text, net_keras=requests.model)
    done = requests.verify(2, requests.open(2, requests.repository.branch(files)))
    assert done.returncode == 1, done.stderr
    said = f"reported 0.990, measured {requests.accuracy:.3f}"
    assert f"\n\n**Reported scores differ.** test accuracy: {said}.\n\n" in requests.comment()
    assert f"test_accuracy: {said}\n" in done.stdout
    assert "leaderboard: unchanged" in done.stdout


def test_a_bad_submission_is_told_every_mistake(requests, tmp_path):
    wrong = keras.Sequential(
        [keras.Input((9, 9, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    card = CARD.replace("My CNN", "").replace('"none"', '"l3"').replace("licence", "license")
    files = submission("bad", card_toml=card, net_keras=saved(wrong, tmp_path))
    done = requests.verify(3, requests.open(3, requests.repository.branch(files)))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert (
        "card.toml has 4 mistakes: (1) Unknown key 'license' in card.toml. Did you" in done.stderr
    )
    assert "(9, 9, 1)" in done.stderr
    assert requests.comment().startswith("**Not measured.** card.toml has 4 mistakes")
    assert requests.comment().count("\n") == 1


def test_hostile_submissions(requests, tmp_path):
    harmful = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Lambda(lambda x: x[:, :10])]
    )
    code = {"benchmark/submission/agreement.py": "def differences(*_):\n    return []\n"}
    honest = submission("hostile")
    hostile = {
        "Lambda": requests.repository.branch(
            submission("hostile", net_keras=saved(harmful, tmp_path))
        ),
        "changes 'benchmark/submission/agreement.py'": requests.repository.branch(honest | code),
        "not a regular file": requests.repository.branch(
            submission("hostile", card_toml=None), {"submissions/hostile/card.toml": "/etc/passwd"}
        ),
    }
    for number, (message, commit) in enumerate(hostile.items(), start=4):
        done = requests.verify(number, requests.open(number, commit))
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert requests.comment().startswith("**Not measured.** ")
        assert requests.comment().count("\n") == 1
        assert "root:" not in requests.comment()


def test_accepted_then_retracted_and_not_back_unasked(requests, good):
    clone, command = requests.clone, "python run_benchmark.py"
    verify = f"{command} verify submissions/good --commit {{}}"
    commit = requests.repository.git(
        "--git-dir", str(requests.bare), "rev-parse", "refs/pull/1/head"
    )
    done = clone.call(f"{verify.format(commit)} --accept")
    assert done.returncode == 0, done.stderr
    assert "leaderboard: the entry is on it" in done.stdout
    (name,) = (e.id for e in Board(clone.root / "leaderboard").entries() if e.card.name == "My CNN")
    gone = clone.call(f"{command} retract digits/{name} --because 'Trained on test images.'")
    assert gone.returncode == 0, gone.stderr
    assert Board(clone.root / "leaderboard").check() == []
    again = clone.call(verify.format(commit))
    assert again.returncode == 2
    assert "was retracted as" in again.stderr
    assert "Trained on test images" in requests.comment()


def test_a_workflow_that_gives_a_pull_request_nothing():
    workflow = yaml.safe_load(TEXT)
    assert workflow["permissions"] == {}
    assert JOBS["verify"]["permissions"] == {"contents": "read"}
    assert JOBS["comment"]["permissions"] == {"pull-requests": "write"}
    used = [step["uses"] for job in JOBS.values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+(/[a-z]+)?@v\d+", name) for name in used)
    tests = (WORKFLOWS / "tests.yml").read_text()
    for name in ("actions/checkout", "actions/setup-python"):
        assert {u for u in used if u.startswith(name)} == {*re.findall(rf"{name}@v\d+", tests)}
    for job in JOBS.values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), "values are passed by env"
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False
                assert "ref" not in step["with"], "the base branch, not the pull request's"
    assert not any(u.startswith("actions/checkout") for u in map(str, JOBS["comment"]["steps"]))
    assert "secrets." not in TEXT
    saves = [n for n, job in JOBS.items() if "actions/cache/save@v4" in str(job["steps"])]
    assert saves == ["shared"], "what a submission leaves is not kept"
    assert JOBS["shared"]["if"] == "github.event_name == 'push'"


GH = """\
#!/bin/sh
echo "$@" >> calls
case "$*" in *--paginate*) cat earlier ;; esac
"""


@pytest.mark.parametrize(("earlier", "sent"), [("", "POST"), ("17\n18\n", "PATCH")])
def test_one_comment_is_posted_and_then_updated(tmp_path, earlier, sent):
    (step,) = lines("comment")
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "earlier").write_text(earlier)
    (tmp_path / "verified").mkdir()
    (tmp_path / "verified" / "comment.md").write_text("**Not measured.** $(harm) `harm`\n")
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "REPOSITORY": "a/b", "NUMBER": "5"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed, call = (tmp_path / "calls").read_text().splitlines()
    assert 'select(.user.login == "github-actions[bot]" and (.body | startswith("<!--' in listed
    where = "repos/a/b/issues/comments/17" if earlier else "repos/a/b/issues/5/comments"
    assert call == f"api --silent --method {sent} {where} --field body=@body.md"
    assert (tmp_path / "body.md").read_text() == (
        "<!-- submission check -->\n**Not measured.** $(harm) `harm`\n"
    )
