"""Moving mailboxes in and out: mail of other programs, read into values, put into any store, and written out again.

``values`` says what a source is; ``maildir_source`` (with the pure ``dovecot_lists`` and ``courier_lists``) and
``mbox_source`` (with the pure ``mbox_lines``) are sources.  ``taking`` puts a source into a MessageStore,
``maildir_target`` and ``mbox_target`` write a mailbox of a MessageStore out.  ``script_source`` and
``script_target`` are the same for the scripts beside the mail.

``converting`` makes a mailbox of one MessageStore what it is in another: folder by folder with ``copying`` and
``verifying``, the rest with ``mirroring``.

``backing_up`` takes mailboxes into a directory that keeps octets once: ``backup_place`` is the directory and its runs,
``backup_bodies`` the octets, ``manifests`` what a run says of a mailbox.  ``verifying_backup`` reads all of it, and
``restoring`` puts a mailbox back.

Nothing a source holds is trusted: directories are walked by descriptor, symbolic links are never followed, and what
cannot be read is reported by name and passed over.  Everything here may be stopped at any moment and run again: it goes
on where it stopped.  One thread at a time.
"""
