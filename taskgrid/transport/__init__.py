"""How client, worker and master speak: the only room that knows sockets, TLS, tenacity and the standard manager.

`protocol/` holds every verb and message. A frame (`frames.py`) is a small JSON header and raw byte
parts; a `Stream` is a TCP connection, plain or under TLS; the handshake turns it into a `Connection`
of frames. On one side stand `manager.py`, `proxies.py` and `channel.py`, on the other `server.py`.

Nothing that comes from the wire is unpickled, named as a class, or executed. The room knows nothing of
jobs, leases or the journal: it hands validated messages to a `Service` and hands back its replies.
"""
