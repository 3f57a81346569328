"""Carrying out what a script decided: what is sent, what is filed, what the peer is told, what is remembered.

A verdict becomes a :class:`Decision`.  Its owner sends first, files then, and says at the end whether all went well;
only then the ids of the duplicate test are remembered.  What was sent is remembered at once: when the peer has to try
again, it is not sent again.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from msgstore.delivery.answers import Folders, duplicate_mark
from msgstore.delivery.arrival import Arrival, EditedPieces
from msgstore.delivery.history import Mark, Run
from msgstore.delivery.refusing import protocol_text
from msgstore.delivery.sending import Sender, Sending
from msgstore.model.errors import OutboundRefused
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Filing
from msgstore.model.message import SYSTEM_FLAGS
from msgstore.model.scripts import RefusedByScript
from msgstore.sieve import (
    Action,
    Debug,
    EditedMessage,
    Ereject,
    FileInto,
    Keep,
    Notify,
    Redirect,
    Reject,
    Report,
    Vacate,
    Verdict,
)

__all__ = ["DEBUG_MARK", "Actor", "Decision", "Letter", "Notes", "place_of", "split_flags"]

DEBUG_MARK: Final = "debug: "
"""Before what a script writes into its user's log by ``debug_log``."""

Notes = Callable[[str, int], None]
"""Takes a text for the user's log, and the line of the script or 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message that is staged for one mailbox alone: an edited one, or a copy of what was sent."""

    pieces: Iterable[bytes]
    filing: Filing


class Decision:
    """What becomes of one message in one mailbox; one thread at a time."""

    def __init__(self, run: Run, keep: Filing, *, note: Notes) -> None:
        self.filings: list[Filing] = []
        """Places for the message as it came."""

        self.letters: list[Letter] = []
        self.refusal: RefusedByScript | None = None
        """What the peer is told instead of a success."""

        self.actions: list[str] = []
        """Names of what was decided, for log and metrics."""

        self.error: str | None = None
        """Why the script did not come to its end."""

        self.script: str = ""
        self.is_sent_on = False
        self._keep = keep
        self._run = run
        self._note = note
        self._sendings: list[Sending] = []
        self._marks: list[Mark] = []

    @property
    def messages(self) -> int:
        """How many messages are put into the mailbox."""
        return len(self.filings) + len(self.letters)

    def file(self, filing: Filing, pieces: Iterable[bytes] | None) -> None:
        """Note one place; of two for one folder the last one counts. RFC 5228 §2.10.3."""
        self.filings = [one for one in self.filings if one.folder != filing.folder]
        self.letters = [one for one in self.letters if one.filing.folder != filing.folder]
        if pieces is None:
            self.filings.append(filing)
        else:
            self.letters.append(Letter(pieces=pieces, filing=filing))

    def keep_original(self) -> None:
        """Keep the message as it came, whatever else is done with it."""
        self.file(self._keep, None)

    def add_sending(self, sending: Sending) -> None:
        """Note what is to be sent."""
        self._sendings.append(sending)

    @property
    def has_sendings(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._sendings)

    def add_mark(self, mark: Mark) -> None:
        """Note what is to be remembered at the end."""
        self._marks.append(mark)

    def send(self) -> None:
        """Send everything, each once.

        Raises:
            OutboundUnavailable: not now; nothing was filed, and what was sent is not sent again.
            StoreError: the message cannot be read.
        """
        # What mail depends on goes first: a reply must not go out for a message that is not taken.
        for sending in sorted(self._sendings, key=lambda one: not one.is_needed):
            mark = sending.mark
            if mark is not None and self._run.seen(mark, when_unsure=not sending.is_needed):
                self._note(f"{sending.what} is not sent again", sending.line)
                continue
            try:
                sending.go()
            except OutboundRefused as error:
                self._note(f"{sending.what} was refused: {error}", sending.line)
                if sending.is_needed:
                    self.error = self.error or f"{sending.what} was refused"
                    self.keep_original()
                continue
            if mark is not None:
                self._run.keep((mark,))
            if sending.copy is not None:
                self.letters.append(Letter(pieces=sending.copy[0], filing=sending.copy[1]))

    def succeed(self) -> None:
        """Remember: everything was done."""
        if self._marks:
            self._run.keep(self._marks)

    def close(self) -> None:
        """Let other deliveries to this mailbox go on; harmless to repeat."""
        self._run.close()


_UNEDITED: Final = "its header is sealed or too long to be edited: the message is kept as it came"


class Actor:
    """Makes decisions out of verdicts; safe in every thread."""

    def __init__(self, sender: Sender, *, creates_folders: bool, reject_text: str) -> None:
        self._sender: Final = sender
        self._creates_folders: Final = creates_folders
        self._reject_text: Final = reject_text

    def decide(
        self, verdict: Verdict, arrival: Arrival, run: Run, *, keep: Filing, folders: Folders, note: Notes
    ) -> Decision:
        """Say what the verdict comes to; nothing is sent and nothing is filed yet, folders may be made.

        ``keep`` is where mail goes that a script does not file.

        Raises:
            StoreError: the mailbox cannot be looked at.
        """
        decision = Decision(run, keep, note=note)
        filer = _Filer(decision, arrival, folders, keep, creates=self._creates_folders, note=note)
        if verdict.error is not None:
            decision.error, decision.script = verdict.error.text, verdict.error.script
        for action in verdict.actions:
            self._act(action, decision, arrival, filer)
        if decision.has_sendings:
            folders.require()
        for seen in verdict.seen:
            decision.add_mark(duplicate_mark(seen.handle, seen.unique_id, seen.seconds, seen.last))
        return decision

    def _act(self, action: Action, decision: Decision, arrival: Arrival, filer: "_Filer") -> None:
        decision.actions.append(type(action).__name__.lower())
        decision.script = action.script or decision.script
        match action:
            case Keep():
                filer.keep(action)
            case FileInto():
                filer.file_into(action)
            case Redirect():
                self._redirect(action, decision, arrival, filer)
            case Reject() | Ereject():
                self._reject(action, decision, arrival, filer)
            case Vacate() | Notify() | Report() if arrival.content.is_sealed:
                # Whether a person or a program wrote it stands in its header. RFC 3834 §2, RFC 5230 §4.6.
                filer.note("a sealed message is answered and reported to nobody", action.line)
            case Vacate() | Notify() | Report():
                sending = self._sender.reply(action, arrival, filer.note)
                if sending is not None:
                    copy = action.fcc if isinstance(action, Vacate | Notify) else None
                    decision.add_sending(filer.with_copy(sending, copy))
            case Debug():
                filer.note(f"{DEBUG_MARK}{action.text}", action.line)
            case _:
                # Discard, and what an extension decides that nobody here knows: nothing is filed for it.
                pass

    def _redirect(self, action: Redirect, decision: Decision, arrival: Arrival, filer: "_Filer") -> None:
        if arrival.content.is_sealed:
            filer.note("a sealed message cannot be sent on: it is kept", action.line)
            decision.keep_original()
            return
        if action.message is not None and arrival.content.is_cut:
            filer.note(_UNEDITED, action.line)
            decision.keep_original()
            return
        sendings = self._sender.redirect(action, arrival, filer.note)
        if not sendings:
            # Nobody to send it to, or it has been here before: mail is lost in no case.
            decision.keep_original()
            return
        decision.is_sent_on = True
        for sending in sendings:
            decision.add_sending(sending)

    def _reject(self, action: Reject | Ereject, decision: Decision, arrival: Arrival, filer: "_Filer") -> None:
        # Where no report can be sent, a reply that is cut is better than mail that waits for ever.
        is_exact = isinstance(action, Reject) and self._sender.sends_on
        reason = action.reason if action.reason.strip() else self._reject_text
        text = protocol_text(reason, utf8=arrival.envelope.smtputf8, is_exact=is_exact)
        if arrival.is_alone and text is not None:
            decision.refusal = RefusedByScript(text)
            return
        if not self._sender.sends_on:
            filer.note("this server sends no mail: the message is kept", action.line)
            decision.keep_original()
            return
        sending = self._sender.rejection(reason, arrival)
        if sending is None:
            filer.note("a message without a sender is refused silently", action.line)
        else:
            decision.add_sending(sending)


class _Filer:
    """Finds folders for the actions of one decision."""

    def __init__(
        self, decision: Decision, arrival: Arrival, folders: Folders, keep: Filing, *, creates: bool, note: Notes
    ) -> None:
        self.note = note
        self._decision = decision
        self._arrival = arrival
        self._folders = folders
        self._keep = keep
        self._creates = creates

    def keep(self, action: Keep) -> None:
        """Note the keep of a script, or the implicit one."""
        self._file(self._keep, action.flags, action.message, action.line)

    def file_into(self, action: FileInto) -> None:
        """Note a folder."""
        folder = self._place(action)
        if folder is None:
            self._decision.error = self._decision.error or "a folder is missing"
            self._decision.keep_original()
        else:
            self._file(dataclasses.replace(self._keep, folder=folder), action.flags, action.message, action.line)

    def with_copy(self, sending: Sending, copy: FileInto | None) -> Sending:
        """Add where a copy of what is sent goes. RFC 8580."""
        folder = None if copy is None else self._place(copy)
        if copy is None or folder is None or sending.content is None:
            return sending
        system, keywords = split_flags(copy.flags)
        filing = dataclasses.replace(self._keep, folder=folder, flags=system, keywords=keywords)
        return dataclasses.replace(sending, copy=((sending.content,), filing))

    def _file(self, place: Filing, flags: Sequence[str], message: EditedMessage | None, line: int) -> None:
        pieces = None
        if message is not None and self._arrival.content.is_cut:
            self.note(_UNEDITED, line)
        elif message is not None:
            pieces = EditedPieces(self._arrival.content, message, before=self._arrival.content.trace)
        system, keywords = split_flags(flags)
        self._decision.file(dataclasses.replace(place, flags=system, keywords=keywords), pieces)

    def _place(self, action: FileInto) -> FolderName | None:
        found = place_of(action, self._folders, creates=self._creates)
        if found is None:
            self.note(f"folder {action.folder} is missing", action.line)
        return found


def place_of(action: FileInto, folders: Folders, *, creates: bool) -> FolderName | None:
    """Give the folder of an action, made where that is wanted; None where there is none.

    Raises:
        StoreError: the mailbox cannot be looked at.
    """
    if action.mailbox_id is not None:
        named = folders.with_id(action.mailbox_id)
        if named is not None:
            return named
    if action.special_use is not None:
        found = folders.with_use(action.special_use)
        if found:
            # Of several the one that the script names, if it is among them. RFC 8579 §4.
            return action.folder if action.folder in found else found[0]
    if folders.exists(action.folder):
        return action.folder
    if (action.create or creates) and folders.create(action.folder):
        return action.folder
    return None


def split_flags(flags: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Give system flags and keywords apart; what is neither is left out."""
    system = frozenset(flag for flag in flags if flag in SYSTEM_FLAGS)
    return system, frozenset(flag for flag in flags if not flag.startswith("\\"))
