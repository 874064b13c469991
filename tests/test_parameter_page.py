"""The parameter page is the option tables, nothing more and nothing older."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "install" / "parameter_page.py"


def test_the_page_is_current() -> None:
    result = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
