"""The delivery agent: from an accepted transaction to one result per recipient.

``resolve`` turns a forward-path into a Recipient, ``filter`` says where mail goes that no script files, ``incoming``
stages the octets of one message once and files them, ``agent`` is what lmtpd is given.

``sieving`` runs the scripts of site and user, compiled by ``programs``, over one ``arrival``; ``answers`` says what
they ask, ``acting`` what their verdict comes to, ``sending`` and ``refusing`` what others are told, ``decisions`` how
it ends for all recipients, ``userlog`` and ``traces`` what remains to be read of it.

``forwarding`` sends a staged message on through ``outbound``, a client that speaks ``smtp``; ``rewriting`` keeps the
secrets of ``srs``.  ``reports`` writes replies and reports out of what ``composing`` makes harmless, ``courtesy`` says
who must not get one, ``history`` remembers what was done before.

A body is staged once, behind its trace lines; every recipient gets a link.  Results come in RCPT order, one each, never
summed up; what is not understood is temporary, and no text of an exception reaches a peer.  A recipient that goes to
several places is one result: what has to be sent on is sent before anything is filed, and where that fails nothing is.
Should the disk fail after it was sent, the sender tries again and it is sent twice: lost it is never.
"""
