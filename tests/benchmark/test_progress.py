"""What is shown while an ensemble of attacks runs."""

import io

from rich.console import Console

from pellucid.benchmark.progress import AttackDisplay, stderr


def test_an_attack_gets_at_most_the_images_that_resisted_those_before_it():
    """Also when the next block of images begins with the first attack."""
    console = Console(file=io.StringIO(), width=200)
    with AttackDisplay(console, 100, every=0.0) as display:
        display.update("apgd-ce", 40, 30)
        display.update("apgd-t", 10, 5)
        display.update("square", 5, 0)
        display.update("apgd-ce", 50, 20)
        display.update("apgd-t", 7, 1)
    assert console.file.getvalue().splitlines() == [
        "apgd-ce: 40 of at most 100 images, 30 attacked successfully",
        "apgd-t: 10 of at most 70 images, 5 attacked successfully",
        "square: 5 of at most 65 images, 0 attacked successfully",
        "apgd-ce: 90 of at most 100 images, 50 attacked successfully",
        "apgd-t: 17 of at most 50 images, 6 attacked successfully",
    ]


def test_a_live_bar_counts_the_successes_of_each_attack():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with AttackDisplay(console, 100) as display:
        display.update("apgd-ce", 40, 30)
        display.update("apgd-ce", 50, 20)
        display.update("square", 50, 7)
        assert display.bar is not None
        tasks = {task.description: task for task in display.bar.tasks}
        first, second = tasks["apgd-ce"], tasks["square"]
        assert (first.completed, first.total, first.fields["successes"]) == (90, 100, 50)
        assert (second.completed, second.total, second.fields["successes"]) == (50, 50, 7)
    assert "7 attacked successfully" in console.file.getvalue()


def test_functions_of_the_library_write_plain_lines_in_a_notebook_too(monkeypatch, capsys):
    """Rich would show HTML there, and ask for a package in place of a bar."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert Console().is_jupyter
    with AttackDisplay(stderr(verbose=True), 10, every=0.0) as display:
        display.update("square", 5, 0)
    with AttackDisplay(stderr(verbose=False), 10, every=0.0) as display:
        display.update("square", 5, 0)
    line = "square: 5 of at most 10 images, 0 attacked successfully\n"
    assert capsys.readouterr().err == line
