"""What both daemons need from the machine: sockets, systemd, signals, worker processes and worker threads.

One daemon is a parent and its workers, also when there is one worker.  The parent binds or takes over the listening
sockets, forks, watches, talks to systemd and serves the page of metrics; it runs no event loop, starts no thread and
touches no mail, so a fork from it is always safe.  A worker inherits the sockets, runs one event loop and crosses to
worker threads in exactly one place, :class:`msgstore.service.offload.Offload`.

::

    activation  sockets that systemd passed           listen     sockets that we bind
    notify      what we tell systemd                  workers    fork, watch, restart, drain
    channel     one pipe from each worker             page       the page of metrics, served by the parent
    lifecycle   the event loop of a worker, signals   offload    bounded worker threads
    together    jobs that share their waits for the disk, on one thread of the offload
"""
