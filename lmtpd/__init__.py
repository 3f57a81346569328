"""The LMTP server: takes mail from an MTA and hands it to a delivery agent. RFC 2033.

::

    commands      lines to values              pure
    transparency  DATA and BDAT to octets      pure
    replies       results and errors to lines  pure
    intake        one message on its way into the agent, in worker threads
    slots         deliveries to one mailbox at a time
    gate, content  input and output of one connection; DATA and BDAT
    session       its commands, on aiosmtpd's LMTP class
    server        sockets, limits, timers, shutdown

One thread runs the event loop and every session; sessions answer from memory.  What may touch the disk is a job in
:class:`msgstore.service.offload.Offload`: a small message is one job from its first octet to its durable end, driven
together with those of other connections (:class:`msgstore.service.together.Together`).  A delivery belongs to the
server, not to the connection: once the end of the message was seen it runs to its own end, whether or not the peer is
still there.  Every accepted RCPT gets exactly one reply, in RCPT order, on every path.
"""
