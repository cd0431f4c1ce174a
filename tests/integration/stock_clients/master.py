"""A textbook client that gives work out and collects results; standard library only."""

import queue
import sys
from multiprocessing.managers import BaseManager


class QueueManager(BaseManager):
    """Knows the two queues by name, as every tutorial has it."""


QueueManager.register("get_task_queue")
QueueManager.register("get_result_queue")

port, key, count = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
manager = QueueManager(address=("127.0.0.1", port), authkey=key)
manager.connect()
task = manager.get_task_queue()
result = manager.get_result_queue()

for n in range(count):
    task.put(n)
total = sum(result.get(timeout=20) for _ in range(count))
try:
    result.get_nowait()
except queue.Empty:
    print("total", total, "left", task.qsize(), result.empty(), result.full())
