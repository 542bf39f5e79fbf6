"""The documentation says what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from framelane.driver.documentation import with_table
from framelane.driver.settings import load_settings
from framelane.transport.registry import Registry

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", ["configuration.md", "transports.md"])
def test_the_table_of_settings_is_in_step(name):
    text = (DOCS / name).read_text()
    assert text == with_table(text), f"run: python -m framelane.driver.documentation docs/{name}"


def test_every_configuration_in_the_documentation_is_accepted(tmp_path):
    examples = [
        example
        for name in ("configuration.md", "transports.md")
        for example in re.findall(r"```toml\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    ]
    assert len(examples) >= 3
    for number, example in enumerate(examples):
        assert tomllib.loads(example)
        file = tmp_path / f"{number}.toml"
        file.write_text(example)
        load_settings(file, environ={}, registry=Registry({}))
