"""Makes `taskgrid` a transport of the standard library's managers, beside its own `pickle` and `xmlrpclib`.

Managers, servers and proxies look their two ends up by this name. The table is not documented, but of one
shape in all versions that TaskGrid runs on.
"""

from __future__ import annotations

from multiprocessing import managers
from typing import Final

from taskgrid.transport.dial import dial
from taskgrid.transport.listener import Listener

SERIALIZER: Final = "taskgrid"

managers.listener_client[SERIALIZER] = (Listener, dial)  # type: ignore[attr-defined]  # missing from the stubs
