"""Who is who: domains, users, passwords, throttling.

The files are those of existing installations, octet for octet (``passwd``, ``config.toml``, ``domains.toml``,
``forwards``, ``user_forwards/``), read again when they change and never written in place.  ``directory`` finds domains
and users, ``routes`` where their mail goes after the ``forwards``, ``provider`` checks passwords over it, ``throttle``
slows guessing down, ``keys`` finds public and wrapped keys, ``keychange`` changes them, ``passwd`` is the file,
``files`` the durable replacement.

A domain is hosted if and only if its directory exists or the settings name it.  What cannot be read is
``DirectoryUnavailable``, never "does not exist".
"""
