"""The pages made from the option tables are these tables, nothing more and nothing older."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "install" / "parameter_page.py"


def test_the_pages_are_current() -> None:
    result = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
