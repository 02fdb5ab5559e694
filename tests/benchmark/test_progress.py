"""What is said while an ensemble of attacks runs."""

import io

from rich.console import Console

from robust_interpretability.benchmark.progress import AttackDisplay


def test_an_attack_gets_at_most_what_those_before_it_left():
    """In plain lines, and still so when the next block of images begins with the first attack."""
    console = Console(file=io.StringIO(), width=200)
    with AttackDisplay(console, 100, every=0.0) as display:
        display.update("apgd-ce", 40, 30)
        display.update("apgd-t", 10, 5)
        display.update("square", 5, 0)
        display.update("apgd-ce", 50, 20)
        display.update("apgd-t", 7, 1)
    assert console.file.getvalue().splitlines() == [
        "apgd-ce: 40 of at most 100 images, 30 broken",
        "apgd-t: 10 of at most 70 images, 5 broken",
        "square: 5 of at most 65 images, 0 broken",
        "apgd-ce: 90 of at most 100 images, 50 broken",
        "apgd-t: 17 of at most 50 images, 6 broken",
    ]
