"""The suite passes however it is started: here where Ctrl-C is ignored, as after ``nohup``."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

TEST = """
import signal
import pytest

def test_an_interrupt_interrupts():
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_an_ignored_interrupt_is_one_again(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_IGN),
    )
    assert done.returncode == 0, done.stdout
