"""Keeping mail: staged while it arrives, linked into every place, durable before anybody is told.

``disk`` is the only module that syncs, links, renames, unlinks or makes directories; everything above it names files
by a directory descriptor and one component.  ``staging`` holds a message on its way in, ``spool`` is where it does.
``memory`` is the executable specification (with ``memory_folder``, ``memory_tree`` and ``memory_changes``),
``maildir`` keeps files that Dovecot can take over and give back, ``sql`` keeps mail in a database.  A delivery can be
driven in steps that stop where the disk must be waited for; ``syncs`` does what many of them wait for at once.
``rows``, ``levels`` and ``telling`` are what backends share about rows, folder names and watching, ``quota`` says when
a mailbox is full, ``requests`` remembers writes that must be done once.  Everything blocks; stores may be used from any
thread.  No session state is kept: delete marks belong to accessd.
"""
