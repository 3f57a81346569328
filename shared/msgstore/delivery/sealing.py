"""Mail that is sealed as it is delivered: for whom, and how it gets from memory into mailboxes.

Who has a public key gets nothing but ciphertext written, unless the policy is ``off``.  A message with such a recipient
is held in memory while it arrives (:mod:`msgstore.delivery.holding`), filtered there, sealed for each of their keys and
only then staged in the store; recipients without a key get a plain copy of their own.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from msgstore.auth.directory import Directory
from msgstore.auth.keys import NO_KEY, KnownKey, UserKeys
from msgstore.crypto import PublicKey, seal
from msgstore.delivery.holding import HeldMessage, MemoryBudget
from msgstore.model.address import MailboxId
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS, Recipient
from msgstore.model.errors import MsgstoreError
from msgstore.model.interfaces import Filing, MessageStore, StagedMessage, Wait
from msgstore.model.keys import KeyRequired, KeyRequiredForGood
from msgstore.model.result import Filed
from msgstore.model.user import User

__all__ = ["SealKeys", "Sealing", "keys_of"]

_PIECE_OCTETS: Final = 1 << 20


class SealKeys:
    """Says to which key a user's mail is sealed; safe in every thread."""

    def __init__(
        self, keys: UserKeys, directory: Directory, *, refusal: Literal["temporary", "permanent"] = "temporary"
    ) -> None:
        self._keys = keys
        self._directory = directory
        self._refusal = KeyRequiredForGood if refusal == "permanent" else KeyRequired

    def find(self, user: User) -> KnownKey:
        """Give the key to which a user's mail is sealed, or that it is kept as it comes.

        Raises:
            KeyRequired, KeyRequiredForGood: there is none, and mail must be sealed.
            KeyUnreadable, KeyMalformed: there is one, or may be, and it cannot be used.
            DirectoryUnavailable: the policy of the domain cannot be read.
        """
        policy = self._directory.encryption_of(user)
        if policy == "off":
            return NO_KEY
        key = self._keys.public_key(user)
        if key is None and policy == "required":
            raise self._refusal(f"{user.mailbox} has no key, and mail for it must be sealed")
        return KnownKey(key)

    def recall(self, user: User) -> KnownKey | None:
        """Give the answer of :meth:`find` from memory; None where the disk has to be asked, or mail is refused."""
        policy = self._directory.known_encryption_of(user)
        if policy is None:
            return None
        if policy == "off":
            return NO_KEY
        known = self._keys.recall(user)
        is_refused = known is not None and known.public is None and policy == "required"
        return None if is_refused else known


def keys_of(recipients: Iterable[Recipient]) -> dict[MailboxId, bytes]:
    """Give the key of each mailbox that gets its mail sealed."""
    return {
        one.mailbox: one.seal_to for recipient in recipients for one in recipient.mailboxes if one.seal_to is not None
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
        return _deliver_held(self._store, staged, filings, keys)

    def deliver(
        self, staged: StagedMessage, filings: Sequence[Filing], keys: Mapping[MailboxId, bytes]
    ) -> Iterator[Filed | MsgstoreError]:
        """Do the same without stops."""
        for answer in self.deliver_in_steps(staged, filings, keys):
            if isinstance(answer, Wait):
                self._store.settle((answer,))
            else:
                yield answer


def _deliver_held(
    store: MessageStore, held: HeldMessage, filings: Sequence[Filing], keys: Mapping[MailboxId, bytes]
) -> Iterator[Filed | MsgstoreError | Wait]:
    """Put a held message into every place: for each key one blob, one plain copy for all who have none."""
    groups: dict[bytes | None, list[int]] = {}
    for at, filing in enumerate(filings):
        groups.setdefault(keys.get(filing.mailbox), []).append(at)
    answers: dict[int, Filed | MsgstoreError] = {}
    for index, filing in enumerate(filings):
        if index not in answers:
            key = keys.get(filing.mailbox)
            places = iter(groups[key])
            for answer in _deliver_group(store, held, [filings[at] for at in groups[key]], key):
                if isinstance(answer, Wait):
                    yield answer
                else:
                    answers[next(places)] = answer
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
        # From where the message is held into common memory: what is there now is sealed.
        with held.view() as message:
            blob = seal(message, PublicKey(key))
        with memoryview(blob) as whole:
            for start in range(0, octets, _PIECE_OCTETS):
                staged.write(whole[start : start + _PIECE_OCTETS])
        del blob
        yield staged
