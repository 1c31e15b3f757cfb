"""Files of prompts: every line is checked, and named, before anything is submitted."""

from __future__ import annotations

import click
import pytest

from generations.requests import PROMPT_LENGTH_MAX
from paymaster.cli.prompts import LINES_MAX, PROBLEMS_SHOWN_MAX, read_prompts


@pytest.fixture
def written(tmp_path):
    def write(content: bytes):
        path = tmp_path / "prompts.txt"
        path.write_bytes(content)
        return path

    return write


def message_of(path):
    with pytest.raises(click.BadParameter) as caught:
        read_prompts(path)
    return caught.value.format_message()


@pytest.mark.parametrize(
    "content",
    [
        b"a fox\na crow\n",
        b"a fox\na crow",
        b"a fox\r\na crow\r\n",
        b"\xef\xbb\xbfa fox\na crow\n",
    ],
)
def test_a_prompt_stands_on_each_line(written, content):
    assert read_prompts(written(content)) == ["a fox", "a crow"]


def test_every_bad_line_is_named(written):
    long = b"x" * (PROMPT_LENGTH_MAX + 1)
    message = message_of(written(b"a fox\n\na \x07 bell\n\xff\n" + long + b"\nlast\n"))
    assert "line 2: is empty" in message
    assert "line 3: has the control character U+0007 at position 3" in message
    assert "line 4: is not UTF-8" in message
    assert f"line 5: has {PROMPT_LENGTH_MAX + 1} characters" in message
    assert "line 1:" not in message
    assert "line 6:" not in message


def test_a_line_break_that_only_unicode_knows_is_a_control_character(written):
    # splitlines would make two prompts of it.
    assert "line 1: has the control character U+0085" in message_of(written("a\x85b\n".encode()))


def test_a_file_of_bad_lines_does_not_flood_the_terminal(written):
    message = message_of(written(b"\n" * 100))
    assert message.count("is empty") == PROBLEMS_SHOWN_MAX
    assert f"and {100 - PROBLEMS_SHOWN_MAX} more lines" in message


def test_an_empty_file_a_missing_one_and_a_huge_one_are_refused(written, tmp_path):
    assert "has no prompts" in message_of(written(b""))
    assert "can't be read" in message_of(tmp_path / "missing.txt")
    assert f"at most {LINES_MAX}" in message_of(written(b"a\n" * (LINES_MAX + 1)))
