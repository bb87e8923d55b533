"""How many notebooks run side by side."""

import os

import pytest

from lib.workbook import processes


@pytest.mark.parametrize(
    ("asked", "cores", "gigabytes", "expected"),
    [(0, 2, 16, 2), (0, 8, 64, 2), (0, 1, 16, 1), (0, 2, 8, 1), (1, 2, 16, 1), (3, 1, 4, 3), (-1, 2, 16, 1)],
)
def test_two_where_the_machine_has_room_for_two(asked, cores, gigabytes, expected, monkeypatch):
    pages = {"SC_PHYS_PAGES": gigabytes * 10**6, "SC_PAGE_SIZE": 1000}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert processes.workers(asked) == expected


def test_one_where_the_system_does_not_tell_its_memory(monkeypatch):
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert processes.workers(0) == 1
