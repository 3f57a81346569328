"""Running scripts over a message: those of the site, and that of the user or of the domain."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple

from msgstore.config.sieving import SieveSettings
from msgstore.delivery.acting import DEBUG_MARK, Actor, Decision
from msgstore.delivery.answers import Answers, Folders, environment_of, scan_of
from msgstore.delivery.arrival import Arrival
from msgstore.delivery.filter import Filter
from msgstore.delivery.history import History, Run
from msgstore.delivery.programs import NoScripts, Programs, Scripts, SiteScripts, active_script, sieve_engine
from msgstore.delivery.sending import Sender
from msgstore.delivery.traces import DeliveryTrace, Traces
from msgstore.delivery.userlog import UserLog
from msgstore.model.address import MailboxId
from msgstore.model.errors import MailboxNotFound, StoreError
from msgstore.model.interfaces import Clock, Filing, MessageStore
from msgstore.model.scripts import ScriptUnreadable, StoredScript
from msgstore.sieve import (
    Context,
    Envelope,
    InvalidScript,
    Level,
    Owner,
    Program,
    ScriptFailed,
    Verdict,
    evaluate,
)
from msgstore.telemetry.log import logger

__all__ = ["SIEVE_EVENTS", "Chosen", "SieveCounter", "SieveFilter"]

log = logger(__name__)

SieveCounter = Callable[[str], None]
"""Takes one of :data:`SIEVE_EVENTS`."""

_EVENTS: Final = {
    "keep": "sieve_filed",
    "fileinto": "sieve_filed",
    "discard": "sieve_discarded",
    "reject": "sieve_rejected",
    "ereject": "sieve_rejected",
    "redirect": "sieve_redirected",
    "vacate": "sieve_vacation",
    "notify": "sieve_notified",
    "report": "sieve_reported",
}
SIEVE_EVENTS: Final = (*dict.fromkeys(_EVENTS.values()), "sieve_error")

_NO_SCRIPTS: Final = NoScripts()
_REMEMBERED_MAILBOXES: Final = 65_536


class Chosen(NamedTuple):
    """What is to be run for a mailbox."""

    shelf: Scripts
    programs: tuple[Program | InvalidScript, ...]


class SieveFilter:
    """Decides by scripts where there are any; safe in every thread.

    ``routing`` says where mail goes that no script files.  ``scripts_of`` gives the scripts of a mailbox, as
    ``MessageStore.scripts`` does; it may raise a StoreError, and MailboxNotFound means that there are none.
    """

    def __init__(
        self,
        settings: SieveSettings,
        *,
        store: MessageStore,
        scripts_of: Callable[[MailboxId], Scripts],
        site: SiteScripts,
        history: History,
        sender: Sender,
        routing: Filter,
        count: SieveCounter,
        clock: Clock,
        hostname: str,
        separator: str = "+",
        traces: Traces | None = None,
    ) -> None:
        self._settings: Final = settings
        self._store = store
        self._scripts_of = scripts_of
        self._site = site
        self._history = history
        self._routing = routing
        self._count = count
        self._clock = clock
        self._hostname = hostname
        self._separator = separator
        self._traces = traces
        self._programs = Programs(sieve_engine(settings), limit=settings.programs)
        self._actor = Actor(
            sender, creates_folders=settings.missing_folder == "create", reject_text=settings.reject_text
        )
        self._user_log = UserLog(store.control_directory, limit_octets=settings.user_log_octets)
        self._guard = threading.Lock()
        self._waiting: OrderedDict[MailboxId, bool] = OrderedDict()

    def may_wait(self, mailbox: MailboxId) -> bool:
        """Whether the scripts for this mailbox may wait for more than the disk, as far as it can be found out now."""
        known = self.recall_may_wait(mailbox)
        if known is None:
            try:
                scripts = self._scripts(mailbox, self._shelf(mailbox))
            except ScriptUnreadable:
                # The message will be told.
                return False
            known = self._programs.compiled_all(scripts)[1]
            self._remember(mailbox, waits=known)
        return known

    def recall_may_wait(self, mailbox: MailboxId) -> bool | None:
        """Give the answer from memory; None where there is none."""
        return self._waiting.get(mailbox)

    def find(self, mailbox: MailboxId) -> Chosen | None:
        """Give the scripts for a mailbox; None where there are none, which is what most messages ask.

        Raises:
            ScriptUnreadable: a script is there and cannot be read now.
        """
        shelf = self._shelf(mailbox)
        scripts = self._scripts(mailbox, shelf)
        if not scripts:
            self._remember(mailbox, waits=False)
            return None
        programs, waits = self._programs.compiled_all(scripts)
        self._remember(mailbox, waits=waits)
        return Chosen(shelf, programs)

    def decide(self, arrival: Arrival, chosen: Chosen) -> Decision:
        """Run what :meth:`find` gave and say what becomes of the message; the decision has to be closed.

        Raises:
            StoreError: a question cannot be answered now.
        """
        run = self._history.run(arrival.recipient.mailbox)
        try:
            return self._decided(arrival, chosen, run)
        except BaseException:
            run.close()
            raise

    def _shelf(self, mailbox: MailboxId) -> Scripts:
        try:
            return self._scripts_of(mailbox)
        except MailboxNotFound:
            # The first message makes it.
            return _NO_SCRIPTS
        except StoreError as error:
            raise ScriptUnreadable(str(error)) from error

    def _scripts(self, mailbox: MailboxId, shelf: Scripts) -> tuple[StoredScript, ...]:
        own = active_script(shelf) or self._site.default(mailbox.domain)
        if own is None and not self._site.runs_for_everybody:
            return ()
        return (*self._site.before, *(() if own is None else (own,)), *self._site.after)

    def _remember(self, mailbox: MailboxId, *, waits: bool) -> None:
        if self._waiting.get(mailbox) is not waits:
            with self._guard:
                self._waiting[mailbox] = waits
                if len(self._waiting) > _REMEMBERED_MAILBOXES:
                    self._waiting.popitem(last=False)

    def _decided(self, arrival: Arrival, chosen: Chosen, run: Run) -> Decision:
        folders = Folders(self._store, arrival.recipient.mailbox)
        answers = Answers(
            folders=folders,
            run=run,
            programs=self._programs,
            scripts=chosen.shelf,
            site=self._site,
            now=self._clock.time,
        )
        verdict = self._verdict(arrival, chosen.programs, answers)
        notes: list[str] = []

        def note(text: str, line: int) -> None:
            told = text if not line else f"line {line}: {text}"
            if not text.startswith(DEBUG_MARK):
                # What a script writes down for its author may hold what is in the message; traces never do.
                notes.append(told)
            self._tell(arrival, told)

        decision = self._actor.decide(
            verdict,
            arrival,
            run,
            keep=self._place(arrival),
            folders=folders,
            note=note,
        )
        for said in verdict.notes:
            log.debug("sieve.note", delivery_id=arrival.delivery_id, text=said)
        for name in decision.actions:
            self._count(_EVENTS.get(name, "sieve_filed"))
        if decision.error is not None:
            self._count("sieve_error")
        if self._traces is not None:
            self._traces.add(self._trace(arrival, verdict, decision, notes))
        return decision

    def _trace(self, arrival: Arrival, verdict: Verdict, decision: Decision, notes: Sequence[str]) -> DeliveryTrace:
        # A script that does not compile ends no run, and so gives the decision no error.
        errors = (one.outcome for one in verdict.trace if one.kind == "error")
        places = (*decision.filings, *(letter.filing for letter in decision.letters))
        return DeliveryTrace(
            delivery_id=arrival.delivery_id,
            mailbox=str(arrival.recipient.mailbox),
            at_seconds=self._clock.time(),
            actions=tuple(decision.actions),
            error=decision.error or next(errors, None),
            filed=() if decision.refusal is not None else tuple(str(place.folder) for place in places),
            notes=tuple(notes),
            steps=verdict.trace,
        )

    def _verdict(self, arrival: Arrival, programs: tuple[Program | InvalidScript, ...], answers: Answers) -> Verdict:
        engine = self._programs.engine
        context = self._context(arrival)
        verdict = engine.verdict(context)
        for program in programs:
            if isinstance(program, InvalidScript):
                self._tell_broken(arrival, program)
                context.note_step("error", "", 0, str(program))
                return engine.verdict(context)
            verdict = evaluate(engine, program, context.child(), answers)
            if verdict.error is not None:
                self._tell_failed(arrival, verdict.error)
            if not verdict.keeps:
                break
        return verdict

    def _context(self, arrival: Arrival) -> Context:
        envelope, recipient, settings = arrival.envelope, arrival.recipient, self._settings
        reverse_path = "" if envelope.reverse_path is None else str(envelope.reverse_path)
        deadline = self._clock.monotonic() + settings.run_seconds
        return Context(
            arrival.content.message,
            envelope=Envelope(
                reverse_path=reverse_path,
                forward_path=str(recipient.forward_path),
                orcpt=recipient.orcpt,
                notify=",".join(recipient.notify) or None,
                ret=envelope.ret,
                envid=envelope.envid,
            ),
            owner=Owner(address=str(recipient.mailbox), separator=self._separator),
            scan=scan_of(envelope.spam, full_score=settings.spam_score),
            environment=environment_of(envelope, hostname=self._hostname, full_score=settings.spam_score),
            limits=self._programs.engine.limits,
            now=self._clock.time(),
            zone=_local_zone(),
            trace=self._traces is not None,
            expired=lambda: self._clock.monotonic() > deadline,
        )

    def _place(self, arrival: Arrival) -> Filing:
        (place,) = self._routing.decide(arrival.envelope, arrival.recipient, arrival.content.header_block)
        return place

    def _tell_broken(self, arrival: Arrival, error: InvalidScript) -> None:
        log.warning(
            "sieve.script_broken",
            delivery_id=arrival.delivery_id,
            mailbox=str(arrival.recipient.mailbox),
            script=error.name,
            line=next((one.line for one in error.diagnostics if one.level is Level.ERROR), 0),
            why=str(error),
        )
        self._count("sieve_error")
        self._tell(arrival, f"{error}: the message is kept as if there were no script")

    def _tell_failed(self, arrival: Arrival, error: ScriptFailed) -> None:
        log.warning(
            "sieve.script_failed",
            delivery_id=arrival.delivery_id,
            mailbox=str(arrival.recipient.mailbox),
            script=error.script,
            line=error.line,
            why=error.text,
        )
        self._tell(arrival, f"script {error.script or '-'}, line {error.line}: {error.text}: the message is kept")

    def _tell(self, arrival: Arrival, text: str) -> None:
        self._user_log.tell(arrival.recipient.mailbox, arrival.delivery_id, text, at_seconds=self._clock.time())


def _local_zone() -> tzinfo:
    return datetime.now().astimezone().tzinfo or UTC
