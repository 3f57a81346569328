"""The program that gives MessageStore and AuthProvider to pop3d, imapd and smtpd over a Unix socket.

Layout: ``server`` accepts peers and knows their roles from ``peers``; ``connection`` turns octets into requests and
answers into octets, with limits, and knows no store; ``calls`` carries one request from its check to its result;
``methods`` leads to one function for each entry of the contract, in ``rpc_methods``, ``folder_methods``,
``message_methods``, ``key_methods`` and their kin, which see no socket; ``logins``, ``mail`` and ``bodies`` do their
work; ``session`` holds who is in, marks, views and the maildrop lock.

Threads: everything here runs in the event loop; whatever may touch the disk crosses over in ``calls`` to the worker
threads of ``msgstore.service.offload``, password checks to a pool of their own.

Keys: sealed mail goes out as it is stored.  Private keys that a login asks for are in its response alone; those that a
session gives (``opening``) are its own, and wiped with it.

Guarantees: exactly one response to each request; marks, locks, handles and sessions end with their connection; what
has begun to be removed is removed and answered truly, deadline or not; an exception in one request ends that request.
"""
