"""The access socket's protocol, spoken by accessd and by every daemon that reads mail: plain MessagePack-RPC.

Layout, imports going down only: ``frames`` (octets to the three array shapes and back, limits), ``codes`` (the error
words and what each means to POP3, IMAP and a relay), ``shapes`` and ``mailshapes`` (arguments and results as typed
values), ``entries`` (one for each method), ``contract`` (checking of calls, the description), ``conversation`` (a
client's calls in flight, pure), ``mailkeys`` (sealed mail opened by the client), ``aio`` and ``sync`` (the two shells
that own a socket, with ``…_reading`` and ``…_changes`` for what a session does).

A client needs msgpack, msgspec, idna and PyNaCl and nothing else of this distribution's dependencies, but for
argon2-cffi where a user's keys were wrapped by an older installation.

Keys: a login fetches the user's key file and opens it here, with the password; the session wipes the keys at its end.
Secrets in frames never go through msgpack; see ``concealed``.

::

    async with AccessClient.connect("/run/msgstore/access.sock") as client:
        session = await client.login("alice@example.org", "secret", service="pop3")
        for row in await session.list():
            body = await session.retrieve(row.uid)

Descriptors: a body may come as a descriptor (SCM_RIGHTS).  The n-th response that says ``fd`` owns the n-th descriptor
received; each is owned by exactly one object and closed by it.  Threads: a client object belongs to one task's event
loop (``aio``) or to one thread at a time (``sync``).
"""
