"""Mail that is sealed as it is delivered: for whom, and how it gets from memory into mailboxes.

Who has a public key gets nothing but ciphertext written, unless the policy is ``off``.  A message with such a recipient
is held in memory while it arrives (:mod:`msgstore.delivery.holding`), filtered there, sealed for each of their keys and
only then staged in the store; recipients without a key get a plain copy of their own.
"""

import mmap
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from msgstore.auth.directory import Directory
from msgstore.auth.keys import UserKeys
from msgstore.crypto import PublicKey, seal_into
from msgstore.delivery.holding import HeldMessage, MemoryBudget, private_memory
from msgstore.model.address import MailboxId
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS, Envelope
from msgstore.model.errors import MsgstoreError, Overloaded
from msgstore.model.interfaces import Filing, MessageStore, StagedMessage, Wait
from msgstore.model.keys import KeyRequired, KeyRequiredForGood
from msgstore.model.result import Filed
from msgstore.model.user import User

__all__ = ["SealKeys", "Sealing", "deliver_held", "keys_of"]

_PIECE_OCTETS: Final = 1 << 20


class SealKeys:
    """Says to which key a user's mail is sealed; safe in every thread."""

    def __init__(
        self, keys: UserKeys, directory: Directory, *, refusal: Literal["temporary", "permanent"] = "temporary"
    ) -> None:
        self._keys = keys
        self._directory = directory
        self._refusal = KeyRequiredForGood if refusal == "permanent" else KeyRequired

    def find(self, user: User) -> bytes | None:
        """Give the 32 octets of the key; None where the user's mail is kept as it comes.

        Raises:
            KeyRequired, KeyRequiredForGood: there is none, and mail must be sealed.
            KeyUnreadable, KeyMalformed: there is one, or may be, and it cannot be used.
            DirectoryUnavailable: the policy of the domain cannot be read.
        """
        policy = self._directory.remembered_policy(user.mailbox.domain, fresh=False).encryption
        if policy == "off":
            return None
        key = self._keys.public_key(user)
        if key is None and policy == "required":
            raise self._refusal(f"{user.mailbox} has no key, and mail for it must be sealed")
        return None if key is None else key.octets

    def recall(self, user: User) -> tuple[bytes | None] | None:
        """Give the answer of :meth:`find` from memory, in a tuple; None where the disk has to be asked."""
        known_policy = self._directory.known_policy(user.mailbox.domain)
        if known_policy is None:
            return None
        if known_policy.encryption == "off":
            return (None,)
        known = self._keys.recall(user)
        if known is None:
            return None
        if known.public is None:
            return None if known_policy.encryption == "required" else (None,)
        return (known.public.octets,)


def keys_of(envelope: Envelope) -> dict[MailboxId, bytes]:
    """Give the keys of the mailboxes for which a message is to be sealed; none where it was sealed before it came."""
    if envelope.encryption is not None and envelope.encryption.encrypted:
        return {}
    return {
        one.mailbox: one.seal_to
        for recipient in envelope.recipients
        for one in recipient.mailboxes
        if one.seal_to is not None
    }


class Sealing:
    """Takes messages into mailboxes some of which get them sealed; safe in every thread."""

    def __init__(self, store: MessageStore, *, memory_octets: int = 1 << 28) -> None:
        """``memory_octets`` is what all messages that are held at once may take."""
        self._store = store
        self._budget = MemoryBudget(memory_octets)

    def stage(self, *, sealed_for_some: bool, expected_octets: int | None = None) -> StagedMessage:
        """Begin a message: in memory where somebody gets it sealed, else in the store.

        Raises:
            StoreError: the disk refuses.
        """
        if sealed_for_some:
            return HeldMessage(self._budget, expected_octets=expected_octets or 0)
        return self._store.stage(expected_octets=expected_octets)

    def deliver_in_steps(
        self, staged: StagedMessage, filings: Sequence[Filing], keys: Mapping[MailboxId, bytes]
    ) -> Iterator[Filed | MsgstoreError | Wait]:
        """Put a message into every place, sealed where its mailbox has a key; see ``MessageStore.deliver_in_steps``."""
        if not isinstance(staged, HeldMessage):
            return self._store.deliver_in_steps(staged, filings)
        return deliver_held(self._store, staged, filings, keys)

    def deliver(
        self, staged: StagedMessage, filings: Sequence[Filing], keys: Mapping[MailboxId, bytes]
    ) -> Iterator[Filed | MsgstoreError]:
        """Do the same without stops."""
        for answer in self.deliver_in_steps(staged, filings, keys):
            if isinstance(answer, Wait):
                self._store.settle((answer,))
            else:
                yield answer


def deliver_held(
    store: MessageStore, held: HeldMessage, filings: Sequence[Filing], keys: Mapping[MailboxId, bytes]
) -> Iterator[Filed | MsgstoreError | Wait]:
    """Put a held message into every place: for each key one blob, one plain copy for all who have none."""
    answers: dict[int, Filed | MsgstoreError] = {}
    for index, filing in enumerate(filings):
        if index not in answers:
            key = keys.get(filing.mailbox)
            group = [at for at in range(index, len(filings)) if keys.get(filings[at].mailbox) == key]
            given = 0
            for answer in _deliver_group(store, held, [filings[at] for at in group], key):
                if isinstance(answer, Wait):
                    yield answer
                else:
                    answers[group[given]] = answer
                    given += 1
        yield answers[index]


def _deliver_group(
    store: MessageStore, held: HeldMessage, filings: Sequence[Filing], key: bytes | None
) -> Iterator[Filed | MsgstoreError | Wait]:
    given = 0
    try:
        with _staged_for(store, held, key) as staged:
            for answer in store.deliver_in_steps(staged, filings):
                given += not isinstance(answer, Wait)
                yield answer
    except MsgstoreError as error:
        # Trouble with one key is none of the others'.
        for _ in range(len(filings) - given):
            yield error


@contextmanager
def _staged_for(store: MessageStore, held: HeldMessage, key: bytes | None) -> Generator[StagedMessage]:
    if key is None:
        with store.stage(expected_octets=held.octets) as staged:
            for piece in held.chunks():
                staged.write(piece)
            yield staged
        return
    octets = held.octets + SEAL_OVERHEAD_OCTETS
    with store.stage(expected_octets=octets, sealed=True) as staged:
        with _memory(octets) as memory, memoryview(memory) as blob:
            with blob[SEAL_OVERHEAD_OCTETS:] as message:
                held.copy_into(message)
                seal_into(blob, message, PublicKey(key))
            for start in range(0, octets, _PIECE_OCTETS):
                staged.write(blob[start : start + _PIECE_OCTETS])
        yield staged


@contextmanager
def _memory(octets: int) -> Generator[mmap.mmap]:
    try:
        memory = private_memory(octets)
    except OSError as error:
        raise Overloaded(f"no memory for {octets} octets: {error.strerror}") from error
    with memory:
        yield memory
