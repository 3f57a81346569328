"""What an smtpd does with a message it has accepted, so that no machine behind it sees plaintext.

It asks for the key of each recipient (``key.public``), seals the message once for each key, and hands the blobs over:
by ``deliver.message`` on the access socket, or by LMTP with the parameter ``XSEALED`` (``lmtpd/EXTENSIONS.md``).  It
writes ``Return-Path`` and ``Received`` into the message itself, because nobody behind it can.

A key that cannot be read is no reason to hand over plaintext: the recipient's mail has to wait.
"""

import smtplib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgstore.access import entries
from msgstore.access.bodyshapes import OneResult
from msgstore.access.codes import AccessError
from msgstore.access.sync import AccessClient
from msgstore.crypto import ALGORITHM, PublicKey, seal

__all__ = ["Answer", "SealingRelay", "hand_over_by_lmtp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to tell the sender of one recipient."""

    code: int
    text: str


class SealingRelay:
    """Hands messages over on the access socket; the peer has the role ``smtp`` there."""

    def __init__(self, access: AccessClient) -> None:
        self._access = access

    def hand_over(self, message: bytes, recipients: Sequence[str], *, reverse_path: str | None) -> dict[str, Answer]:
        """Deliver to every recipient: sealed for who has a key, as it is for the others."""
        answers: dict[str, Answer] = {}
        plain: list[str] = []
        for recipient in dict.fromkeys(recipients):
            try:
                key = self._key_of(recipient)
            except AccessError as error:
                answers[recipient] = Answer(code=451, text=f"4.7.5 {error.code}")
                continue
            if key is None:
                plain.append(recipient)
                continue
            # One blob is for one mailbox: two users have two keys.
            blob = bytes(seal(message, key))
            sealed = {"algorithm": ALGORITHM, "encrypted": True}
            answers |= self._delivered(blob, [recipient], reverse_path, encryption=sealed)
        if plain:
            answers |= self._delivered(message, plain, reverse_path)
        return answers

    def _key_of(self, recipient: str) -> PublicKey | None:
        """Give the key that mail for an address is to be sealed to; None where there is none, for sure."""
        if not self._access.ask(entries.AUTH_LOOKUP, address=recipient).sealing:
            return None
        return PublicKey(self._access.ask(entries.KEY_PUBLIC, address=recipient).public_key)

    def _delivered(
        self,
        body: bytes,
        recipients: Sequence[str],
        reverse_path: str | None,
        *,
        encryption: Mapping[str, object] | None = None,
    ) -> dict[str, Answer]:
        done = self._access.deliver(body, *recipients, reverse_path=reverse_path, encryption=encryption)
        return {one.forward_path: _answer(one) for one in done.results}


def hand_over_by_lmtp(client: smtplib.LMTP, message: bytes, recipient: str, key: PublicKey) -> Answer:
    """Do the same by LMTP, to an lmtpd that trusts this peer, for the null reverse-path."""
    blob = bytes(seal(message, key))
    for line in _lines(message, recipient):
        code, text = client.docmd(line)
        if code >= 400:
            client.rset()
            return Answer(code=code, text=text.decode("utf-8", "replace"))
    client.putcmd(f"BDAT {len(blob)} LAST")
    client.send(blob)
    code, text = client.getreply()
    return Answer(code=code, text=text.decode("utf-8", "replace"))


def _lines(message: bytes, recipient: str) -> Iterator[str]:
    yield f"MAIL FROM:<> BODY=BINARYMIME XSEALED={ALGORITHM},{len(message)}"
    yield f"RCPT TO:<{recipient}>"


def _answer(result: OneResult) -> Answer:
    return Answer(code=result.code, text=f"{result.status} {result.text}")
