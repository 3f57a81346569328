"""Deliverers, listers, a flag flipper and an expunger in processes of their own, all at one folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from msgstore.model.folder import INBOX
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.store.crowd import ALICE, JUNK, LEAST_OCTETS

ROOT = Path(__file__).parents[2]
DELIVERED = 150
"""By each of two."""


def start(part: str, root: Path, *numbers: int) -> "subprocess.Popen[str]":
    paths = os.pathsep.join((str(ROOT / "shared"), str(ROOT)))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.crowd", part, str(root), *map(str, numbers)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
    )


def lines_of(child: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.timeout(90)
@pytest.mark.parametrize("also", [(), ("seal", "seal")])
def test_every_listing_of_every_process_shows_each_message_once_under_its_one_uid(
    tmp_path: Path, also: tuple[str, ...]
) -> None:
    store = MaildirStore(str(tmp_path), layout_for=lambda _: Layout())
    store.create_mailbox(ALICE)
    store.close()

    listers = [start("look", tmp_path) for _ in range(2)]
    others = [start("flip", tmp_path), start("expunge", tmp_path), *(start(part, tmp_path) for part in also)]
    deliverers = [start("deliver", tmp_path, 0, DELIVERED), start("deliver", tmp_path, DELIVERED, DELIVERED)]
    for child in deliverers:
        lines_of(child)
    (tmp_path / "stop").touch()
    for child in others:
        lines_of(child)
    seen = [lines_of(child) for child in listers]

    number_of: dict[int, int] = {}
    for of_one in seen:
        before: set[int] = set()
        for listing in of_one:
            uids = [uid for uid, _ in listing["rows"]]
            numbers = [number for _, number in listing["rows"]]
            assert uids == sorted(set(uids))
            assert len(set(numbers)) == len(numbers)
            for uid, number in listing["rows"]:
                assert number_of.setdefault(uid, number) == number
            # What is being renamed is not gone.
            assert {number for number in before if number % 10 != 7} <= set(numbers)
            before = set(numbers)
        assert {number for number in before if number % 10 != 7} == {
            number for number in range(2 * DELIVERED) if number % 10 != 7
        }
    assert len(set(number_of.values())) == len(number_of)
    assert len({listing["uidvalidity"] for of_one in seen for listing in of_one}) == 1
    if also:
        # The last one works alone.
        assert lines_of(start("seal", tmp_path)) == [{"plain": []}]


@pytest.mark.timeout(120)
def test_appends_moves_and_flags_of_many_processes_agree_on_every_uid(tmp_path: Path) -> None:
    store = MaildirStore(str(tmp_path), layout_for=lambda _: Layout())
    store.create_mailbox(ALICE)

    lister = start("look", tmp_path)
    others = [start("mark", tmp_path), start("mark", tmp_path), start("shuffle", tmp_path), start("flip", tmp_path)]
    writers = [
        start("append", tmp_path, 0, 60),
        start("append", tmp_path, 60, 60),
        start("deliver", tmp_path, 120, 60),
    ]
    written = [lines_of(child) for child in writers]
    (tmp_path / "stop").touch()
    shuffled = lines_of(others[2])
    for child in (*others[:2], others[3]):
        lines_of(child)

    appended = {line["uid"]: line["number"] for of_one in written[:2] for line in of_one}
    assert len(appended) == 120
    # One that was moved away in between is not there any more; under its UID there is never another one.
    assert all(line["is_there"] for of_one in written[:2] for line in of_one)
    number_of = dict(appended)
    for listing in lines_of(lister):
        for uid, number in listing["rows"]:
            assert number_of.setdefault(uid, number) == number
    # A delivered one may have been moved before anybody listed it.
    for line in shuffled:
        assert number_of.setdefault(line["from"], line["number"]) == line["number"]
    assert len(set(number_of.values())) == len(number_of)
    assert len({line["to"] for line in shuffled}) == len(shuffled)
    left = [info.octets - LEAST_OCTETS for info in store.folder(ALICE, INBOX).list()]
    there = [info.octets - LEAST_OCTETS for info in store.folder(ALICE, JUNK).list()]
    assert sorted(left + there) == list(range(180))
    store.close()
