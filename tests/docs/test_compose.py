"""docker-compose.yml is true: commands and variables exist, and secrets are asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from authority.config import AuthoritySettings
from paymaster.cli.app import paymaster
from workers.config import WorkerSettings
from workers.providers.settings import ProviderSettings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("migrate", "authority", "worker")


def _variables(settings):
    """Return the names of the environment variables that a settings class reads."""
    prefix = settings.model_config.get("env_prefix", "")
    return {
        str(field.validation_alias or f"{prefix}{name}").upper()
        for name, field in settings.model_fields.items()
    }


def test_the_set_is_whole():
    assert set(SERVICES) == {"postgres", "valkey", *OURS}
    assert "pgvector" in SERVICES["postgres"]["image"]


@pytest.mark.parametrize("name", OURS)
def test_each_command_exists(name):
    (command,) = SERVICES[name]["command"]
    result = CliRunner().invoke(paymaster, [command, "--help"], prog_name="paymaster")
    assert result.exit_code == 0
    assert f"paymaster {command}" in result.output


@pytest.mark.parametrize("name", OURS)
def test_each_variable_exists(name):
    known = {
        "migrate": _variables(AuthoritySettings),
        "authority": _variables(AuthoritySettings),
        "worker": _variables(WorkerSettings) | _variables(ProviderSettings),
    }[name]
    assert set(SERVICES[name]["environment"]) <= known


@pytest.mark.parametrize("name", OURS)
def test_each_required_variable_is_set(name):
    settings = WorkerSettings if name == "worker" else AuthoritySettings
    required = {
        str(field.validation_alias)
        for field in settings.model_fields.values()
        if field.is_required()
    }
    assert required <= set(SERVICES[name]["environment"])


def test_no_secret_has_a_default():
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "VALKEY_PASSWORD", "PAYMASTER_TOKEN"):
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert uses
        assert all(use.startswith(":?") for use in uses)


def test_dependencies_and_volumes_exist():
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_the_image_has_what_it_copies():
    dockerfile = (ROOT / SERVICES["authority"]["build"]["dockerfile"]).read_text()
    for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources)
