"""Reading a submission out of a commit or a folder: what is taken, and what is refused."""

import os
import re

import pytest

from pellucid.benchmark.submission import source
from pellucid.models.errors import InputError
from tests.submission.made import CARD, FILES, SUBMISSION, Repository, submission


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Repository:
    made = Repository(tmp_path / "clone")
    monkeypatch.chdir(made.root)
    return made


def refusal(*arguments) -> str:
    with pytest.raises(InputError) as refused:
        source.from_commit(*arguments)
    assert str(refused.value).isprintable()
    return str(refused.value)


def test_a_folder_of_a_commit(repository):
    commit = repository.branch(submission("mine"))
    found = source.from_commit(commit)
    assert found.name == "mine"
    assert found.commit == commit
    assert not found.changes
    assert found.files == {
        name: content.encode() if isinstance(content, str) else content
        for name, content in FILES.items()
    }
    assert source.from_commit(commit, "submissions/mine/") == found
    assert not (repository.root / "submissions").exists(), "nothing is checked out"
    assert repository.git("status", "--porcelain") == ""


def test_a_branch_from_an_older_main(repository):
    """What main did since is not a change of the submission."""
    commit = repository.branch(submission("mine"))
    repository.write({"benchmark/code.txt": "newer\n"})
    repository.commit("newer")
    assert source.from_commit(commit).name == "mine"


def test_a_folder_that_the_repository_has_already(repository):
    repository.write(submission("mine"))
    repository.commit("merged")
    commit = repository.branch({"submissions/mine/card.toml": CARD.replace("My", "His")})
    assert source.from_commit(commit).changes


def test_several_commits_of_which_the_last_undoes_the_mistake(repository):
    repository.git("checkout", "--quiet", "--detach")
    repository.write({"benchmark/code.txt": "mine now\n"})
    repository.commit("a mistake")
    repository.write({"benchmark/code.txt": "the benchmark\n", **submission("mine")})
    commit = repository.commit("without it")
    repository.git("checkout", "--quiet", "main")
    assert source.from_commit(commit).name == "mine"


def test_changes_elsewhere(repository):
    commit = repository.branch({**submission("mine"), "benchmark/code.txt": "all pass\n"})
    message = refusal(commit)
    assert "changes 'benchmark/code.txt' outside submissions/mine" in message
    two = repository.branch({**submission("mine"), **submission("other")})
    assert "outside submissions/mine" in refusal(two)
    assert "and 2 more paths" in refusal(two)
    loose = repository.branch({**submission("mine"), "submissions/README.md": "hello"})
    assert "submissions/README.md" in refusal(loose)
    removed = repository.git("rev-parse", "main")
    assert "changes nothing" in refusal(removed)
    none = repository.branch({"benchmark/code.txt": "all pass\n"})
    assert "adds no folder submissions/NAME" in refusal(none)


def test_a_rename_is_a_change_of_both_paths(repository):
    repository.git("checkout", "--quiet", "--detach")
    repository.git("rm", "--quiet", "benchmark/code.txt")
    repository.write({**submission("mine"), "submissions/mine/net.keras": "the benchmark\n"})
    commit = repository.commit("moved")
    repository.git("checkout", "--quiet", "main")
    assert "changes 'benchmark/code.txt'" in refusal(commit)


def test_links(repository):
    commit = repository.branch(
        submission("mine", card_toml=None), {"submissions/mine/card.toml": "/etc/passwd"}
    )
    message = refusal(commit)
    assert "submissions/mine/card.toml is not a regular file (git's mode 120000" in message
    folder = repository.branch({}, {"submissions/mine": "../benchmark"})
    assert "adds no folder" in refusal(folder)
    assert "outside" in refusal(folder, "submissions/mine")


def test_folders_programs_and_submodules_inside(repository):
    inside = repository.branch({**submission("mine"), "submissions/mine/sub/x.keras": b"x"})
    assert "mine/sub is not a regular file (git's mode 040000" in refusal(inside)
    files = [("100644", n, b"x") for n in ("card.toml", "submission.toml")]
    for mode in ("100755", "160000"):
        odd = repository.tree([*files, (mode, "net.keras", b"x")])
        assert f"net.keras is not a regular file (git's mode {mode}" in refusal(odd)


@pytest.mark.parametrize(
    "name", ["..", "-rf.keras", "a\nb.keras", "a\x1b]0;harm\x07", ".git.keras"]
)
def test_names_of_files(repository, name):
    files = [("100644", n, b"x") for n in ("card.toml", "submission.toml")]
    try:
        odd = repository.tree([*files, ("100644", name, b"x")])
    except AssertionError:
        pytest.skip("git makes no such tree")
    assert "names have letters" in refusal(odd)


def test_other_files_and_too_many(repository):
    other = repository.branch({**submission("mine"), "submissions/mine/train.py": "import os\n"})
    assert "holds train.py; a submission has" in refusal(other)
    two = repository.branch({**submission("mine"), "submissions/mine/two.keras": b"x"})
    assert "holds 4 files; at most 3" in refusal(two)
    assert "has no card.toml" in refusal(repository.branch(submission("mine", card_toml=None)))


def test_sizes(repository, monkeypatch):
    card = repository.branch(submission("mine", card_toml="#" * 20_001))
    assert "card.toml has 20,001 bytes; at most 20,000" in refusal(card)
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 1000)
    model = repository.branch(submission("mine", net_keras=bytes(1001)))
    assert "net.keras has 1,001 bytes; at most 1,000" in refusal(model)


def test_a_tree_of_very_many_files(repository, monkeypatch):
    monkeypatch.setattr(source, "_OUTPUT_BYTES", 2000)
    many = {f"submissions/mine/{n}.keras": b"x" for n in range(200)}
    assert "too large" in refusal(repository.branch({**submission("mine"), **many}))


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("submissions/../benchmark", "does not name a submission"),
        ("../submissions/mine", "does not name a submission"),
        ("/etc", "does not name a submission"),
        ("submissions", "does not name a submission"),
        ("--output=x", "does not name a submission"),
        ("submissions/other", "outside submissions/other"),
    ],
)
def test_names_of_folders(repository, folder, message):
    assert message in refusal(repository.branch(submission("mine")), folder)


@pytest.mark.parametrize("reference", ["none", "--help", "HEAD:benchmark", "\x1b", ""])
def test_what_is_no_commit(repository, reference):
    assert "There is no commit" in refusal(reference)


def test_a_commit_without_a_common_history(repository):
    tree = repository.git("write-tree")
    commit = repository.git("commit-tree", tree, "-m", "alone")
    assert "shares no history with HEAD" in refusal(commit)


def test_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "There is no commit" in refusal("HEAD")


def test_filters_and_attributes_of_a_commit_do_nothing(repository):
    """A checkout would run them; reading objects does not."""
    repository.git("config", "filter.harm.smudge", "touch harmed; cat")
    commit = repository.branch(submission("mine", card_toml=CARD + "# $Id$\n"))
    (repository.root / ".git" / "info" / "attributes").write_text("* filter=harm ident\n")
    assert source.from_commit(commit).files["card.toml"].endswith(b"# $Id$\n")
    assert not (repository.root / "harmed").exists()


def test_replaced_objects_are_not_used(repository):
    commit = repository.branch(submission("mine"))
    other = repository.git("hash-object", "-w", "--stdin", stdin=b"other")
    repository.git(
        "replace", repository.git("rev-parse", f"{commit}:submissions/mine/card.toml"), other
    )
    assert source.from_commit(commit).files["card.toml"].decode() == CARD


def written(folder, **changed) -> None:
    folder.mkdir()
    for path, content in submission("mine", **changed).items():
        data = content.encode() if isinstance(content, str) else content
        (folder / path.rpartition("/")[2]).write_bytes(data)


def test_a_folder_on_disk(tmp_path):
    written(tmp_path / "mine")
    found = source.from_disk(tmp_path / "mine")
    assert (found.name, found.commit) == ("mine", "")
    assert found.files["submission.toml"].decode() == SUBMISSION


def test_a_folder_on_disk_is_held_to_the_same_rules(tmp_path):
    def refused(folder) -> str:
        with pytest.raises(InputError) as error:
            source.from_disk(folder)
        return str(error.value)

    assert "cannot be read" in refused(tmp_path / "none")
    written(tmp_path / "link", card_toml=None)
    (tmp_path / "link" / "card.toml").symlink_to("/etc/passwd")
    assert "card.toml is not a regular file" in refused(tmp_path / "link")
    written(tmp_path / "pipe", card_toml=None)
    os.mkfifo(tmp_path / "pipe" / "card.toml")
    assert "card.toml is not a regular file" in refused(tmp_path / "pipe")
    written(tmp_path / "large", net_keras=None)
    with (tmp_path / "large" / "net.keras").open("wb") as file:
        file.truncate(30 << 30)
    assert re.search("net.keras has [0-9,]+ bytes", refused(tmp_path / "large"))
    written(tmp_path / "more")
    (tmp_path / "more" / "sub").mkdir()
    assert "holds sub" in refused(tmp_path / "more")


def test_git_is_needed(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "git is needed" in refusal("HEAD")
