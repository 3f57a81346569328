"""Mail in a database: SQLite on one machine, PostgreSQL on many.

One schema, two dialects; every key begins with the id of the mailbox, so that the same tables can be spread over many
servers.  Nothing in here needs triggers, sequences, large objects or LISTEN.

``schema`` says what is kept, ``migrations`` how a database comes to it, ``dialect`` opens one and knows what differs
between the two kinds, ``database`` runs transactions and says what an error means.  ``places`` is what the rest asks
of mailboxes and folders inside a transaction; the row of a folder is its lock, and every change takes it first.
``parcels`` is a message on its way, ``batcher`` puts many of them into one transaction, ``filing`` is that transaction.
``folder``, ``tree``, ``shelf`` and ``removed`` are the interfaces of a mailbox, ``store`` is the backend.  ``bodies``
says what a place for bodies promises that are too large for a row, and keeps them in files; ``objects`` keeps them in
an object store that speaks S3.
"""
