"""``msgstore sieve explain``: why a delivered message went where it went."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import rich_click as click

from msgstore.admin.console import Console, acting_for_owner_of, pass_console
from msgstore.delivery.traces import DeliveryTrace, day_of
from msgstore.model.errors import ConfigError, MsgstoreError
from msgstore.model.result import EnhancedStatus
from msgstore.sieve import Step
from msgstore.wiring import CLOCK, build_traces

__all__ = ["TraceNotFound", "explain"]

_DAY_SECONDS: Final = 86_400


class TraceNotFound(MsgstoreError):
    """Nothing is known of a delivery."""

    reply_code = 550
    status = EnhancedStatus(5, 1, 1)
    rpc_code = "TRACE_NOT_FOUND"


@click.command("explain")
@click.argument("delivery_id")
@pass_console
def explain(console: Console, delivery_id: str) -> None:
    """Tell why a delivered message went where it went.

    DELIVERY_ID stands in the reply to the peer, as `250 2.0.0 ID Saved`, and in the log.  It is known for as many days
    as [sieve] trace_days says, and only of deliveries over which a script was run.
    """
    day = day_of(delivery_id)
    if day is None:
        raise click.UsageError(f"{delivery_id!r} is no delivery id; it is what the reply 250 and the log name")
    settings = console.settings
    with acting_for_owner_of(Path(settings.data_dir)):
        found = build_traces(settings).find(delivery_id)
    if not found:
        raise _why_not(delivery_id, day, days=settings.sieve.trace_days)
    if console.as_json:
        console.result({"delivery_id": delivery_id, "mailboxes": [_facts(trace) for trace in found]})
        return
    for at, trace in enumerate(found):
        if at:
            console.done("")
        for line in _told(trace):
            console.done(line)


def _why_not(delivery_id: str, day: int, *, days: int) -> MsgstoreError:
    if not days:
        return ConfigError(
            ("sieve.trace_days: is 0, so nothing is remembered; set it, and lmtpd remembers from then on",)
        )
    today = int(CLOCK.time()) // _DAY_SECONDS
    date = time.strftime("%Y-%m-%d", time.gmtime(day * _DAY_SECONDS))
    if day + days < today:
        return TraceNotFound(f"{delivery_id} is of {date}, and trace_days = {days}: it is forgotten")
    if day > today:
        return TraceNotFound(f"{delivery_id} would be of {date}, which is not yet")
    return TraceNotFound(
        f"nothing is known of {delivery_id} ({date}): no script was run over it, it was delivered by another host, "
        "or traces were off"
    )


def _facts(trace: DeliveryTrace) -> Mapping[str, object]:
    return {
        "mailbox": trace.mailbox,
        "at": _moment(trace),
        "actions": trace.actions,
        "filed": trace.filed,
        "error": trace.error,
        "notes": trace.notes,
        "steps": [
            {"script": one.script, "line": one.line, "kind": one.kind, "name": one.name, "outcome": one.outcome}
            for one in trace.steps
        ],
    }


def _told(trace: DeliveryTrace) -> Iterator[str]:
    yield f"{trace.delivery_id} for {trace.mailbox}, {_moment(trace)}"
    yield f"decided: {', '.join(trace.actions) or 'nothing'}"
    yield f"put into: {', '.join(trace.filed) or 'no folder'}"
    if trace.error is not None:
        yield f"failed: {trace.error}"
    for note in trace.notes:
        yield f"note: {note}"
    script = None
    for step in trace.steps:
        if step.script != script:
            script = step.script
            yield f"script {script or '-'}:"
        yield _step(step)


def _step(step: Step) -> str:
    place = f"line {step.line}" if step.line else ""
    what = " ".join(part for part in (step.name, step.outcome) if part)
    return f"  {place:<10}{step.kind:<9}{what}"


def _moment(trace: DeliveryTrace) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(trace.at_seconds))
