"""The stock port's wire: what standard-library managers speak, without what makes them unsafe.

A textbook client is a bare `multiprocessing.managers.BaseManager` of Python 3.11 to 3.13. It logs
in with its own handshake (`handshake`), sends pickles that are read by a decoder of our own
(`decode`) and never by the pickle module, and calls the few names it is served (`server`). This
package knows no queue and no job: `master/stock.py` brings the verbs.
"""

from taskgrid.transport.stock.decode import Undecodable, decode
from taskgrid.transport.stock.encode import encode
from taskgrid.transport.stock.key import read_or_make_key
from taskgrid.transport.stock.server import Handover, Limits, Peer, StockServer, Verb

__all__ = ["Handover", "Limits", "Peer", "StockServer", "Undecodable", "Verb", "decode", "encode", "read_or_make_key"]
