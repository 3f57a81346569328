"""The method that looks for messages."""

from threading import Event

import msgstore.access.searchshapes as s
from accessd import mail
from accessd.calls import Call
from accessd.search import Seeker
from accessd.serving import serves
from msgstore.access import entries

__all__: list[str] = []


@serves(entries.MESSAGE_SEARCH)
async def _search(call: Call, args: s.SearchArgs) -> s.SearchResult:
    stop = Event()
    page_rows, clock = call.services.limits.page_rows, call.services.clock
    target = mail.target_of(call, args)
    keys = target.session.open_keys
    seeker = Seeker(args, target, page_rows=page_rows, now=clock.monotonic, stop=stop, keys=keys)
    try:
        return await call.read(seeker.page, call.services.store)
    finally:
        # Whoever cancels, is too late or goes away must not leave a thread at work behind.
        stop.set()
