"""The ``msgstore`` command: what an operator does to configuration, domains, users and mail.

It works on the same wiring as the daemons and needs none of them running, except for ``send-test`` and the checks of
``doctor`` that ask them.  Every verb knows ``--json``; passwords come from standard input or a prompt, never from the
command line; exit codes are those of sysexits.h.

``cli`` is the command and its groups, ``console`` prints and maps errors to exit codes; the other modules hold the
verbs of one noun each.
"""
