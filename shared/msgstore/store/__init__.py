"""Keeping mail: staged while it arrives, linked into every place, durable before anybody is told.

``disk`` is the only module that syncs, links, renames, unlinks or makes directories; everything above it names files
by a directory descriptor and one component.  ``staging`` holds a message on its way in, ``memory`` is the executable
specification, ``maildir`` keeps files that Dovecot can take over and give back, ``maildrop`` adds the delete marks of
one session.  Everything blocks; stores may be used from any thread.
"""
