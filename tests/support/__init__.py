"""Peers, servers and checks that the tests share. Read this before you write a new test.

**Where a test goes.** Into the folder of the floor that it is about: `tests/wire` (HTTP/2 without I/O),
`tests/transport` (links and calls), `tests/client` (the client and a scripted server), `tests/embedded` (the node),
`tests/contract` (what users see; also runs against a real server), `tests/interop` (foreign clients and servers),
`tests/sweep` (cancellation at every step), `tests/guards` (counted costs), `tests/repo` (the project's own files).

**Which peer to use.**

- `scripted.Scripted`: a server whose answers the test writes, with generated messages; it remembers all requests.
- `http2.BareServer`, `http2.BareClient`: one of our connections without I/O; the other end is frames by hand.
- `links.client_by_hand`, `links.server_by_hand`: one of our links; the other end is frames by hand.
- `links.linked`: a client's link and a server's link, connected in memory.
- `peer.connected`: a client of an embedded node that sends raw messages, made by Google's protobuf.
- `imitation.Imitation`: an embedded node that answers as another server version; `versions` says what versions do.
- `canned.CannedServer`: a server with answers made in advance, so that only the client's cost is counted.
- `foreign.Foreign`: grpcio's server on a socket. `bridge.Bridged`: kurrentdbclient's asyncio client as a blocking one.
- `nodes.Nodes`: embedded nodes on sockets in a thread, for blocking clients.
- `processes.Program`: the command line in a process of its own.
- `trio_esdb.testing.MemoryNetwork`: any of our servers under a host name and a port, with faults on command.
- `world.watched`: an embedded node and a client, both ends of whose connections can be seen; `world.sweep`.

**What else is here.** `clock`: the clock and the deadline of each test. `leaks`: no call, no queued byte and no part of
a window is left over. `counting`: function calls and task steps. `oracle`: what Google's protobuf reads in the same
bytes. `makers`: encoded read responses, usual, unusual and malformed. `random_messages`: messages of any kind.
`gossip`: nodes that tell of their cluster. `recorded`: what real servers answered.
`stores` and `events`: small functions for a store and for the contract tests.
`documents` and `programs`: the Markdown pages and their examples.
"""
