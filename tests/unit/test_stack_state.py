"""Where a stack's data is when nobody says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paymaster.stack.state import default_data_directory


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.delenv("PAYMASTER_DATA_DIR", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_user_has_a_directory_of_ones_own(monkeypatch, home):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    directory = default_data_directory()
    assert directory.is_relative_to(home)
    assert directory.name == "paymaster"


def test_roots_is_one_that_the_servers_account_can_reach(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_directory() == Path("/var/lib/paymaster")


@pytest.mark.parametrize("user", [0, 1000])
def test_the_variable_replaces_both(monkeypatch, home, user):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("PAYMASTER_DATA_DIR", "~/mine")
    assert default_data_directory() == home / "mine"
