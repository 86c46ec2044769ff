"""The nodes of an embedded cluster: elections, replication, and what each node knows of the others.

All but ``_node`` are state machines that know no task and no clock but the ``Schedule`` that they are given, so that
the same source of random numbers always makes the same cluster. ``_peer`` is one process; it uses an ``Election``, a
``View`` of the members, and the two parts of replication, and reaches other processes through the ``Mesh``. ``_node``
has the services for clients, and works in trio. ``trio_esdb.testing`` makes a cluster of it.
"""
