"""The five tasks of CONTRIBUTING.md name files that there are, as many as they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What a newcomer opens and touches at most, task by task.
MOST = {
    "A new kind of recipe": (4, 3),
    "Another way to draw the sizes of patients": (3, 1),
    "A new rival": (4, 3),
    "A new figure": (5, 4),
    "A new predictor, or a baseline": (5, 3),
}
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Five tasks")[2].partition("\n## ")[0]
TASKS = dict(re.findall(r"^### (.+?)\n(.+?)(?=^### |\Z)", TEXT, re.M | re.S))


def files(text: str) -> list[str]:
    return re.findall(r"`([\w/<>.]+\.(?:py|md|toml))`", text)


def test_there_are_these_five():
    assert set(TASKS) == set(MOST)


@pytest.mark.parametrize("task", MOST)
def test_numbers_of_files_are_those_that_are_named(task):
    says = re.search(r"Open (\d)(?:: (.+?)\. Touch|, touch) (\d)", TASKS[task])
    to_open, opened, to_touch = int(says[1]), says[2] or TASKS[task], int(says[3])
    assert len(files(opened)) + ("the function of" in opened) == to_open
    steps = re.findall(r"^\d\. `([^`]+)`", TASKS[task], re.M) or files(TASKS[task])
    assert len(set(steps)) == to_touch
    assert (to_open, to_touch) <= MOST[task]
    assert to_touch <= MOST[task][1]


@pytest.mark.parametrize("path", sorted({path for path in files(TEXT) if "<" not in path}))
def test_the_files_exist(path):
    assert (ROOT / path).is_file() or (ROOT / "src" / "repatient" / path).is_file()
