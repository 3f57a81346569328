"""The reference smtpd side: what it hands over is ciphertext for who has a key."""

import asyncio
from pathlib import Path

import pytest

from msgstore.access.sync import AccessClient
from msgstore.config.loader import settings_from
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.wiring import build_delivery
from tests.accessd.key_house import ALICE, SUBJECT, TEXT, KeyHouse, key_house
from tests.accessd.test_real_stores import served
from tests.reference.smtp_sealing import Answer, SealingRelay

BOB = MailboxId("bob", "example.com")


async def hand_over(house: KeyHouse, place: Path, *recipients: str) -> dict[str, Answer]:
    """Hand TEXT over to a server that delivers into the house."""
    parts = build_delivery(settings_from({"data_dir": str(house.place), "encryption": {"policy": "off"}}))
    parts.store.create_mailbox(BOB)

    def talk(path: str) -> dict[str, Answer]:
        with AccessClient.connect(path) as client:
            return SealingRelay(client).hand_over(TEXT, recipients, reverse_path="a@example.net")

    try:
        async with served(parts.store, place / "relay", auth=house.auth, keys=house.access, agent=parts.agent) as path:
            return await asyncio.to_thread(talk, path)
    finally:
        parts.close()


def codes(answers: dict[str, Answer]) -> dict[str, int]:
    return {recipient.partition("@")[0]: answer.code for recipient, answer in answers.items()}


async def test_who_has_a_key_gets_it_sealed_and_the_others_as_it_is(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house:
        answers = await hand_over(house, tmp_path, str(ALICE), str(BOB), "nobody@example.com")

        assert codes(answers) == {"alice": 250, "bob": 250, "nobody": 550}
        async with house.session() as session, await session.retrieve(1) as body:
            assert (await body.read(), body.was_sealed) == (TEXT, True)
        assert [row.octets for row in house.store.folder(ALICE, INBOX).list()] == [len(TEXT)]
        kept = {name: subjects_in(house.domain / "users" / name) for name in ("alice", "Bob", "bob")}
        assert (kept["alice"], kept["Bob"] + kept["bob"]) == (0, 1)


def subjects_in(place: Path) -> int:
    return sum(SUBJECT in path.read_bytes() for path in place.rglob("*") if path.is_file())


@pytest.mark.parametrize("trouble", ["a link", "31 octets"])
async def test_a_key_that_cannot_be_used_makes_mail_wait(tmp_path: Path, trouble: str) -> None:
    async with key_house(tmp_path) as house:
        public = house.home() / "keyring.pub"
        octets = public.read_bytes()
        public.unlink()
        if trouble == "a link":
            public.symlink_to("/etc/hostname")
        else:
            public.write_bytes(octets[:31])
        house.keys.forget()

        answers = await hand_over(house, tmp_path, str(ALICE), str(BOB))

        assert codes(answers) == {"alice": 451, "bob": 250}
        assert subjects_in(house.home()) == 0
