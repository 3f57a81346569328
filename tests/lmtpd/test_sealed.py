"""Sealed mail on the wire: who may hand it over, how, and what is answered."""

import os
from pathlib import Path

import pytest

from lmtpd.commands import CommandFault, parse_mail
from msgstore.config.schema import LmtpSettings
from msgstore.crypto import SecretKey, open_sealed, seal
from msgstore.model.envelope import SEAL_ALGORITHM, EncryptionInfo
from msgstore.model.folder import INBOX
from tests.lmtpd.house_double import rig
from tests.lmtpd.real_house import house_in

OURS = LmtpSettings(trusted_uids=(os.getuid(),), grace_seconds=5)
OTHERS = LmtpSettings(trusted_uids=(os.getuid() + 1,), grace_seconds=5)
SEALED = b"MAIL FROM:<> BODY=BINARYMIME XSEALED=x25519-xsalsa20-poly1305,%d\r\n"
MESSAGE = b"Subject: sealed\r\n\r\n.\r\n\n\rbare\r\n"


async def test_a_trusted_peer_hands_over_a_sealed_message_by_bdat() -> None:
    async with rig(OURS) as made:
        client = await (await made.connect()).greeted()
        client.send(SEALED % 30 + b"RCPT TO:<u@d.example>\r\nBDAT 102 LAST\r\n" + b"\r\n.\r\n\x00\xff" * 14 + b"1234")
        codes = await client.codes(3)

    assert codes == ["250 2.1.0", "250 2.1.5", "250 2.0.0"]
    ((envelope, octets),) = made.agent.delivered
    assert envelope.encryption == EncryptionInfo(algorithm=SEAL_ALGORITHM, encrypted=True, plaintext_octets=30)
    assert octets == b"\r\n.\r\n\x00\xff" * 14 + b"1234"


async def test_it_is_for_one_mailbox() -> None:
    async with rig(OURS) as made:
        client = await (await made.connect()).greeted()
        client.send(SEALED % 30 + b"RCPT TO:<u@d.example>\r\nRCPT TO:<u@d.example>\r\nRCPT TO:<v@d.example>\r\n")

        assert await client.codes(4) == ["250 2.1.0", "250 2.1.5", "250 2.1.5", "452 4.5.3"]


async def test_nobody_else_may_nor_is_told_of_it() -> None:
    async with rig(OTHERS) as made:
        client = await made.connect()
        client.send(b"LHLO me\r\n" + SEALED % 30 + b"QUIT\r\n")
        text = await client.everything()

    assert "XSEALED" not in text
    assert "BINARYMIME" in text
    assert "\r\n555 5.5.4" in text


async def test_a_trusted_peer_is_told_of_it() -> None:
    async with rig(OURS) as made:
        client = await made.connect()
        client.send(b"LHLO me\r\nQUIT\r\n")

        assert "XSEALED" in await client.everything()


@pytest.mark.parametrize(
    ("parameters", "reply"),
    [
        ("XSEALED=x25519-xsalsa20-poly1305,30", "501"),
        ("BODY=8BITMIME XSEALED=x25519-xsalsa20-poly1305,30", "501"),
        ("BODY=BINARYMIME XSEALED=x25519-xsalsa20-poly1305", "501"),
        ("BODY=BINARYMIME XSEALED=x25519-xsalsa20-poly1305,-1", "501"),
        ("BODY=BINARYMIME XSEALED=x25519-xsalsa20-poly1305,", "501"),
        ("BODY=BINARYMIME XSEALED", "501"),
        ("BODY=BINARYMIME XSEALED=rot13,30", "550 5.7.6"),
    ],
)
def test_what_cannot_be_a_sealed_message_is_refused_at_mail(parameters: str, reply: str) -> None:
    with pytest.raises(CommandFault) as refused:
        parse_mail(f"FROM:<> {parameters}", trusted=True)

    assert str(refused.value).startswith(reply)


def test_the_name_of_the_algorithm_is_compared_without_case() -> None:
    mail = parse_mail("FROM:<> BODY=BINARYMIME xsealed=X25519-XSalsa20-Poly1305,0", trusted=True)

    assert mail.encryption == EncryptionInfo(algorithm=SEAL_ALGORITHM, encrypted=True, plaintext_octets=0)


async def test_a_sealed_message_lies_in_the_mailbox_as_it_was_handed_over(tmp_path: Path) -> None:
    key = SecretKey.generate()
    blob = bytes(seal(MESSAGE, key.public))
    async with house_in(tmp_path, lmtp={"trusted_uids": [os.getuid()]}) as house:
        client = await house.client()
        client.send(SEALED % len(MESSAGE) + b"RCPT TO:<alice@example.com>\r\nBDAT 50\r\n" + blob[:50])
        client.send(b"BDAT %d LAST\r\n" % (len(blob) - 50) + blob[50:])
        assert await client.codes(4) == ["250 2.1.0", "250 2.1.5", "250 2.0.0", "250 2.0.0"]
        client.send(SEALED % (len(MESSAGE) + 1) + b"RCPT TO:<alice@example.com>\r\n")
        client.send(b"BDAT %d LAST\r\n" % len(blob) + blob)
        assert await client.codes(3) == ["250 2.1.0", "250 2.1.5", "451 4.7.5"]
        client.writer.close()

        box = house.parts.store.folder(house.alice, INBOX)
        (info,) = box.list()
        with box.retrieve(info.uid) as body:
            stored = b"".join(body.chunks())

    assert (info.sealed, info.octets) == (True, len(MESSAGE))
    assert stored == blob
    assert bytes(open_sealed(stored, key)) == MESSAGE


@pytest.mark.parametrize("lines", [10, 400_000])
async def test_a_message_that_cannot_be_held_now_is_asked_for_again_later(tmp_path: Path, lines: int) -> None:
    async with house_in(tmp_path, encryption={"policy": "opportunistic", "memory_octets": 1000}) as house:
        house.parts.store.create_mailbox(house.alice)
        (tmp_path / "example.com" / "users" / "alice" / "keyring.pub").write_bytes(SecretKey.generate().public.octets)
        data = b"DATA\r\nSubject: hi\r\n\r\n" + b"x\r\n" * lines + b".\r\n"

        told = await house.say("alice@example.com", data=data)
        counted = house.parts.snapshot().decode()

    assert told == ["250 2.1.5", "451 4.3.2"]
    assert '"msgstore_deliveries_total", {"domain": "example.com", "status": "failed"}, 1.0]' in counted
