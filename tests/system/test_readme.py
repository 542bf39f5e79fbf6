"""The readme's Python example does what it says."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_example_sends_and_receives_a_message(shared: Path) -> None:
    text = README.read_text()
    example = textwrap.dedent(text[text.index("    import framelane") : text.index("## Transports")])
    done = subprocess.run(
        [sys.executable, "-c", example],
        env={**os.environ, "AERON_DIR": str(shared / "driver")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "b'hello'\n"), done.stderr
