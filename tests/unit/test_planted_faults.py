"""The planted faults can be planted: their text is there, and so are the tests that must see them.

`make planted-faults` plants them and runs these tests.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from planted_faults.__main__ import FAULTS
from planted_faults.run import plant

ROOT = Path(__file__).parents[2]
AUTHORITY = ROOT / "src/authority"


def test_there_are_enough_each_with_a_name_of_its_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 36


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted(fault, tmp_path):
    source = AUTHORITY / fault.file
    copy = tmp_path / "authority" / fault.file
    copy.parent.mkdir(parents=True)
    copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    plant(fault, tmp_path)
    planted = copy.read_text(encoding="utf-8")
    assert planted != source.read_text(encoding="utf-8")
    if source.suffix == ".py":
        ast.parse(planted)


@pytest.mark.parametrize("test", sorted({test for fault in FAULTS for test in fault.tests}))
def test_the_test_of_a_fault_exists(test):
    path, *names = test.split("::")
    body = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8")).body
    for name in names:
        (found,) = (node for node in body if getattr(node, "name", None) == name)
        body = found.body
