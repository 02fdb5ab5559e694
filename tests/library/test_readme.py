"""The README's lines of Python, word for word."""

import re
import subprocess
import sys

from tests.conftest import ROOT


def test_the_lines_of_the_readme_run(tmp_path):
    section = (ROOT / "README.md").read_text().split("## From Python")[1].split("\n## ")[0]
    first, second = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    program = first + second
    script = tmp_path / "readme.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "robustness.png").exists()
    assert (tmp_path / "interpretability.png").exists()
    assert "AutoAttack" in done.stdout
    assert "val_robust_accuracy" in done.stdout
    assert (tmp_path / "best.keras").exists()
