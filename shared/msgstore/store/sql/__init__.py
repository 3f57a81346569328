"""Mail in a database: SQLite on one machine, PostgreSQL on many.

One schema, two dialects; every primary and unique key begins with the id of the mailbox, so that the same tables can be
spread over many servers.  Nothing in here needs triggers, sequences, large objects or LISTEN.

Below: ``schema`` says what is kept, ``migrations`` and ``upgrading`` how a database comes to it, ``dialect`` opens one
and knows what differs between the two kinds, ``database`` runs transactions and says what their errors mean, ``locks``
keeps processes of one machine apart.

A delivery: ``parcels`` is a message on its way, ``bodies`` and ``objects`` are where it lies when it is too large for a
row, ``batcher`` puts many parcels into one transaction, ``filing`` is that transaction, ``oneshot`` and ``inserting``
are its statements, ``places`` finds, locks and makes mailboxes and folders.  The row of a folder is its lock; every
change takes it first, and who needs several takes them in one order.

The interfaces: ``folder`` with ``rows``, ``changing`` and ``transferring``; ``tree``; ``shelf`` with ``active``;
``removed``; ``records``; ``watching``; ``looking_after``; and ``store``, which is the backend.  ``house`` is how they
see it.
"""
