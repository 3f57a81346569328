"""How a database comes to its tables, step by step; run by :func:`msgstore.store.sql.upgrading.upgrade`."""
