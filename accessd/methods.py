"""The methods of the contract: a short function for each, in the modules imported here; none of them sees a socket.

To add one: an entry in ``msgstore.access.entries`` and a function under ``@serves``.
"""

from accessd import (
    change_methods,
    deliver_methods,
    folder_changes,
    folder_methods,
    key_methods,
    message_methods,
    rpc_methods,
    script_methods,
    search_methods,
    upload_methods,
    watch_methods,
)
from accessd.calls import Call
from accessd.repeats import once
from accessd.serving import SERVED

__all__ = ["SERVED", "answer"]

_MODULES = (
    change_methods,
    deliver_methods,
    folder_changes,
    folder_methods,
    key_methods,
    message_methods,
    rpc_methods,
    script_methods,
    search_methods,
    upload_methods,
    watch_methods,
)
"""Imported for what they enter."""


async def answer(call: Call) -> object:
    """Wait for the turn of a call and give its plain result.

    Raises:
        MsgstoreError: the call cannot be served.
    """
    if call.turn is not None:
        await call.turn.come()
    return await once(call, lambda: SERVED[call.checked.method.name](call, call.checked.args))
