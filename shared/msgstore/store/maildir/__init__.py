"""Mail as files in Maildir++ directories, side by side with Dovecot.

On disk::

    <data_dir>/<domain>/<base_path>/<path_template>/<maildir_subdir>/
        new/ cur/ tmp/                    INBOX
        dovecot-uidlist[.lock]            UIDs and UIDVALIDITY of INBOX
        dovecot-keywords                  names of the keyword letters a to z
        msgstore-keywords                 keywords beyond those
        dovecot-uidvalidity[.<8 hex>]     highest UIDVALIDITY given out in the mailbox
        msgstore-index                    counts, sizes, MODSEQ, tombstones of all folders; may be removed at any time
        msgstore.json                     special uses that are not the default ones
        msgstore-quota                    how full the owner was last told that it is
        msgstore-history, .lock           what scripts did before, kept by the delivery agent
        maildirsize                       what the mailbox holds; shared with other programs, may be removed at any time
        subscriptions                     as Dovecot keeps them
        .Folder.Sub/                      a folder, laid out like INBOX
    .msgstore-uidvalidity[.<8 hex>]       beside the mailboxes: the highest UIDVALIDITY of those that were removed

``names``, ``folders``, ``uidlist``, ``keywords``, ``extra``, ``rows`` and ``cells`` are pure.  ``deliver`` takes no
lock and assigns no UID; readers assign UIDs in batches under ``dovecot-uidlist.lock`` and sync the list before anybody
sees them.

What is sealed where it lies (``sealing``) gets another base, ``,E=1`` at its end; it is the same message, and every
look follows it (``following``).

A look at a folder, downwards: ``folder`` (the interface) and what it is made of, ``reading``, ``changing`` and
``appending`` → ``ledger`` (what this process knows of one mailbox) → ``sync`` (is it still true?) → ``comparing`` (what
is different) → ``uidfile``, ``keywordfile``, ``index``.  The disk is the truth, the index is brought in line with it.
Threads: all public methods may run in any thread; those about one mailbox take turns where they need the index.
"""
