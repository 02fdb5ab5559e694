"""The board's figures: scores that no code names, and figures of scores that are gone."""

import re

from pellucid.benchmark.results.figures import board as figures
from pellucid.leaderboard.board import Board
from tests.leaderboard.made import grid, made
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


def test_what_has_hardly_learned_is_named_and_not_drawn(tmp_path):
    """An accuracy far below the grid's would leave the grid a corner of the figure."""
    Board(tmp_path).put([*grid(), made("new", 0.95, 0.05), made("dull", 0.2, 0.05)])
    figures.draw(tmp_path)
    text = (tmp_path / "figures" / "digits_v1_roar_gradient.svg").read_text()
    assert "hardly learned: Model dull" in " ".join(re.findall(r"<!-- (.*?) -->", text))
    assert "<!-- Model new -->" in text
    assert "<!-- Model dull -->" not in text
    ticks = [float(tick) for tick in re.findall(r"<!-- (0\.\d+) -->", text)]
    assert ticks
    assert min(tick for tick in ticks if tick > 0.5) > 0.9
