"""Mail as files in Maildir++ directories, side by side with Dovecot.

On disk::

    <data_dir>/<domain>/<base_path>/<path_template>/<maildir_subdir>/
        new/ cur/ tmp/                    INBOX
        dovecot-uidlist[.lock]            UIDs and UIDVALIDITY of INBOX
        dovecot-uidvalidity[.<8 hex>]     highest UIDVALIDITY given out in the mailbox
        .Folder.Sub/                      a folder, laid out like INBOX
    .msgstore-uidvalidity[.<8 hex>]       beside the mailboxes: the highest UIDVALIDITY of those that were removed

``names``, ``folders``, ``uidlist`` and ``keywords`` are pure.  ``deliver`` takes no lock and assigns no UID; readers
assign UIDs in batches under ``dovecot-uidlist.lock`` and sync the list before anybody sees them.  ``view`` caches what
the last look at a folder found; it is derived and may be dropped at any time.  Threads: all public methods may run in
any thread, one look at a folder at a time.
"""
