"""The delivery agent: from an accepted transaction to one result per recipient.

``resolve`` turns a forward-path into a Recipient, ``filter`` decides where the message goes for one recipient (the
place where a Sieve run answers, and where sealing begins), ``incoming`` stages
the octets of one message once and files them, ``agent`` is what lmtpd is given.

A body is staged once, behind its trace lines; every recipient gets a link.  Results come in RCPT order, one each, never
summed up; what is not understood is temporary, and no text of an exception reaches a peer.
"""
