"""What scripts decided over one message, for all its recipients, and how that ends."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

from msgstore.delivery.acting import Decision, Letter
from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import Filing, StagedMessage, Wait
from msgstore.model.result import Filed

__all__ = ["Answering", "Decisions", "filed_or_inbox", "next_answer"]

Answering = Callable[[StagedMessage, Sequence[Filing]], Iterator[Filed | Exception | Wait]]
"""Gives the store's answer to each filing, and what must be waited for."""


class Decisions:
    """Decisions by the place of the recipient; one thread at a time."""

    def __init__(self, stage: Callable[[MailboxId], StagedMessage]) -> None:
        """``stage`` begins a message for one mailbox."""
        self._stage = stage
        self._found: dict[int, list[Decision]] = {}

    def __contains__(self, index: int) -> bool:
        return index in self._found

    def add(self, index: int, decision: Decision) -> None:
        """Take a decision; it is closed by :meth:`close`."""
        self._found.setdefault(index, []).append(decision)

    def names(self, index: int) -> str | None:
        """Give the actions for one recipient in words; None where no script ran."""
        if index not in self._found:
            return None
        return ",".join(name for one in self._found[index] for name in one.actions) or None

    def is_discarded(self, index: int) -> bool:
        """Whether a recipient without any filing has the message thrown away, and not sent on."""
        found = self._found.get(index, ())
        return bool(found) and not any(one.is_sent_on for one in found)

    def send(self, index: int) -> list[Filing]:
        """Send what scripts send for one recipient, and give where the message as it came is to be filed.

        Raises:
            RefusedByScript: the peer is told this.
            OutboundUnavailable: it cannot be sent now.
            StoreError: the message cannot be read.
        """
        filings: list[Filing] = []
        for decision in self._found[index]:
            decision.send()
            filings += decision.filings
            if decision.refusal is not None:
                decision.succeed()
                raise decision.refusal
        return filings

    def end(self, index: int, filed: list[Filed], answering: Answering) -> Generator[Wait, None, Exception | None]:
        """File what is staged for one mailbox alone, add the places to ``filed``, remember where all went well.

        Gives the trouble there was.

        Raises:
            MsgstoreError: the message cannot be staged anew.
        """
        for decision in self._found[index]:
            for letter in decision.letters:
                answer = yield from self._file(letter, answering)
                if isinstance(answer, Exception):
                    return answer
                filed.append(answer)
        for decision in self._found[index]:
            decision.succeed()
            decision.close()
        return None

    def close(self) -> None:
        """Let other deliveries to the mailboxes go on; harmless to repeat."""
        for decisions in self._found.values():
            for decision in decisions:
                decision.close()

    def _file(self, letter: Letter, answering: Answering) -> Generator[Wait, None, Filed | Exception]:
        with self._stage(letter.filing.mailbox) as staged:
            for piece in letter.pieces:
                staged.write(piece)
            return (yield from filed_or_inbox(letter.filing, staged, answering, answering(staged, [letter.filing])))


def filed_or_inbox(
    filing: Filing, staged: StagedMessage, answering: Answering, answers: Iterator[Filed | Exception | Wait]
) -> Generator[Wait, None, Filed | Exception]:
    """Give the next of ``answers``, that to ``filing``; mail whose folder went away goes into INBOX."""
    answer = yield from next_answer(answers)
    if isinstance(answer, FolderNotFound) and not filing.folder.is_inbox:
        # The folder went away between decision and filing; the mail must not.
        return (yield from next_answer(answering(staged, [replace(filing, folder=INBOX)])))
    return answer


def next_answer(answers: Iterator[Filed | Exception | Wait]) -> Generator[Wait, None, Filed | Exception]:
    """Pass waits on until the next answer comes."""
    while isinstance(answer := next(answers), Wait):
        yield answer
    return answer
