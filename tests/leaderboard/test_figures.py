"""The board's figures: scores that no code names, and figures of scores that are gone."""

from pellucid.benchmark.results.figures import board as figures
from pellucid.leaderboard.board import Board
from tests.leaderboard.made import grid
from tests.leaderboard.many import unknown


def test_figures_have_scores_that_no_code_names_and_stale_ones_go(tmp_path):
    standing = Board(tmp_path)
    standing.put(unknown(sparsity="$x_{ <b>"))
    drawn = {path.name for path in figures.draw(tmp_path)}
    assert {"digits_v1_roar_edges.png", "digits_v1_sparsity.svg"} <= drawn
    text = (tmp_path / "figures" / "digits_v1_roar_edges.svg").read_text()
    assert "ROAR E (higher is better)" in text
    assert (
        "$x_{ &lt;b&gt; (lower is better)"
        in (tmp_path / "figures" / "digits_v1_sparsity.svg").read_text()
    )
    (tmp_path / "figures" / "mine.png").write_bytes(b"")
    standing.put(grid(), only=True)
    left = {path.name for path in figures.draw(tmp_path)}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == left | {"mine.png"}
    assert not any("sparsity" in name for name in left)
