"""docs/settings.md lists every setting, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authority.config import AuthoritySettings
from workers.config import WorkerSettings
from workers.providers.settings import ProviderSettings

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
CLASSES = [AuthoritySettings, WorkerSettings, ProviderSettings]


def _variables(settings):
    prefix = settings.model_config.get("env_prefix", "")
    return {
        str(field.validation_alias or f"{prefix}{name}").upper(): field
        for name, field in settings.model_fields.items()
    }


@pytest.mark.parametrize("settings", CLASSES)
def test_every_setting_is_listed_with_its_meaning(settings):
    for variable, field in _variables(settings).items():
        rows = re.findall(rf"^\| `{variable}` \|.*\| (.+) \|$", PAGE, re.MULTILINE)
        assert field.description in rows, f"{variable} is not in docs/settings.md as it is"


def test_nothing_else_is_listed():
    known = {name for settings in CLASSES for name in _variables(settings)}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) <= known
