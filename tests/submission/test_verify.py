"""What becomes of a submission around its measurement, which is made up here."""

import hashlib
import io
import json

import pytest
from rich.console import Console

from pellucid.benchmark.results import tracks
from pellucid.benchmark.results.entries import Evidenced
from pellucid.benchmark.submission import measure, verify
from pellucid.benchmark.submission.limits import Resources
from pellucid.leaderboard.board import Board
from pellucid.models.errors import InputError
from tests.leaderboard.made import evidence, grid, made, track
from tests.submission.made import SUBMISSION, Repository, submission

TRACK = track(digest=tracks.get("digits").digest)
ENTRY = made("mine", 0.95, 0.2, on=TRACK)
MODEL = b"a model"


@pytest.fixture
def measured(monkeypatch) -> list:
    """The files that were measured, each as `ENTRY`; the checks find nothing wrong."""
    files = []

    def fake(path, track, card, *, verified, resources, console) -> Evidenced:
        assert verified
        files.append(path.read_bytes())
        return Evidenced(ENTRY, evidence([ENTRY])[f"digits/{ENTRY.id}-v1.json"])

    monkeypatch.setattr(measure, "measure", fake)
    monkeypatch.setattr(measure, "check", lambda *_, **__: None)
    return files


@pytest.fixture
def board(tmp_path) -> Board:
    standing = Board(tmp_path / "board")
    standing.put(grid(TRACK))
    return standing


@pytest.fixture
def check(tmp_path, board):
    def run(text: str = SUBMISSION, *, model: bytes | None = MODEL, **options) -> verify.Verified:
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        for path, content in submission("mine", submission_toml=text, net_keras=model).items():
            data = content.encode() if isinstance(content, str) else content
            (folder / path.rpartition("/")[2]).write_bytes(data)
        return verify.verify(
            folder,
            board=board.root,
            out=tmp_path / "out",
            resources=Resources(),
            console=Console(file=io.StringIO()),
            **options,
        )

    return run


def comment(tmp_path) -> str:
    return (tmp_path / "out" / "comment.md").read_text()


def contents(board: Board) -> dict[str, bytes]:
    files = (p for p in board.root.rglob("*") if p.is_file() and p.name != ".lock")
    return {str(p): p.read_bytes() for p in files}


def with_scores(**scores: float) -> str:
    return SUBMISSION + "[reported]\n" + "".join(f"{n} = {v}\n" for n, v in scores.items())


def test_the_board_stays_as_it_is(check, board, measured, tmp_path):
    before = contents(board)
    for _ in range(2):  # the copy is made again
        found = check(with_scores(test_accuracy=0.95))
        assert (found.differences, found.accepted) == ([], False)
    assert contents(board) == before
    assert measured == [MODEL, MODEL]
    copied = Board(tmp_path / "out" / "board")
    assert {e.id for e in copied.entries()} == {"mine", *(e.id for e in board.entries())}
    assert copied.check() == []
    assert "The reported score agrees with the measured one." in comment(tmp_path)


def test_accepted_only_if_what_is_reported_agrees(check, board, measured, tmp_path):
    before = contents(board)
    found = check(with_scores(test_accuracy=0.99), accept=True)
    assert [d.name for d in found.differences] == ["test_accuracy"]
    assert not found.accepted
    assert contents(board) == before
    assert check(accept=True).accepted
    assert "mine" in {e.id for e in board.entries()}
    assert board.check() == []
    assert "No scores were reported." in comment(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_scores(test_acuracy=0.95), "Unknown score 'test_acuracy'. Did you mean 'test_acc"),
        (SUBMISSION.replace("digits", "digit"), "submission.toml: Unknown track 'digit'. Did you"),
        (SUBMISSION.replace("net", "other"), "names the model other.keras, and the folder holds"),
        (SUBMISSION + f'sha256 = "{"0" * 64}"\n', "net.keras is another file than submission.toml"),
    ],
)
def test_refusals_before_anything_is_measured(check, board, measured, tmp_path, text, message):
    before = contents(board)
    with pytest.raises(InputError) as refused:
        check(text)
    assert message in str(refused.value)
    assert comment(tmp_path).startswith("**Not measured.** ")
    assert comment(tmp_path).count("\n") == 1
    assert contents(board) == before
    assert not measured


def by_address(sha256: str) -> str:
    return f'track = "digits"\naddress = "https://example.org/a.keras"\nsha256 = "{sha256}"\n'


def test_a_model_at_an_address(check, measured, tmp_path):
    asked = []

    def answer(address: str, _: float) -> io.BufferedReader:
        asked.append(address)
        return io.BufferedReader(io.BytesIO(MODEL))

    right = hashlib.sha256(MODEL).hexdigest()
    assert check(by_address(right), model=None, open_address=answer).differences == []
    assert measured == [MODEL]
    assert asked == ["https://example.org/a.keras"]
    with pytest.raises(InputError, match="is another file than the submission states"):
        check(by_address("0" * 64), model=None, open_address=answer)
    assert len(measured) == 1, "nothing opens a file with another hash"
    assert "is another file" in comment(tmp_path)
    (tmp_path / "mine" / "net.keras").write_bytes(MODEL)
    with pytest.raises(InputError, match=r"states an address, so net.keras is not used"):
        check(by_address(right), open_address=answer)


def test_another_program_s_error_leaves_a_comment(check, monkeypatch, measured, tmp_path):
    def crash(*_, **__) -> None:
        raise MemoryError

    monkeypatch.setattr(measure, "measure", crash)
    with pytest.raises(MemoryError):
        check()
    assert comment(tmp_path) == (
        "**Not measured.** The check was begun and did not end; its log says why.\n"
    )


def test_what_ends_the_process_is_in_the_comment(check, monkeypatch, measured, tmp_path):
    def ended(*_, resources, **__) -> None:
        resources.told("Measuring net.keras took 9 GiB of memory.")
        raise SystemExit(2)

    monkeypatch.setattr(measure, "measure", ended)
    with pytest.raises(SystemExit):
        check()
    assert comment(tmp_path) == "**Not measured.** Measuring net.keras took 9 GiB of memory.\n"


def test_a_folder_that_is_no_copy_is_left_alone(check, measured, tmp_path):
    (tmp_path / "out" / "board" / "entries").mkdir(parents=True)
    (tmp_path / "out" / "board" / "entries" / "precious.json").write_text("mine")
    with pytest.raises(InputError, match="is not a copy that verify made"):
        check()
    assert (tmp_path / "out" / "board" / "entries" / "precious.json").read_text() == "mine"


def test_a_commit(board, measured, tmp_path, monkeypatch):
    repository = Repository(tmp_path / "clone")
    monkeypatch.chdir(repository.root)
    commit = repository.branch(submission("mine", net_keras=MODEL))
    options = {"board": board.root, "out": tmp_path / "out", "resources": Resources()}
    verify.verify(None, commit=commit, console=Console(file=io.StringIO()), **options)
    assert measured == [MODEL]
    assert f"commit {commit[:12]}, protocol" in comment(tmp_path)
    entry = json.loads((tmp_path / "out/board/entries/digits/mine-v1.json").read_text())
    assert entry["digest"] == ENTRY.digest
    with pytest.raises(InputError, match="verify needs SUBMISSION_DIR, --commit REF, or both"):
        verify.verify(None, console=Console(file=io.StringIO()), **options)
