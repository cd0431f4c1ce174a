"""A textbook worker: takes numbers until none comes for a second, and puts their squares."""

import queue
import sys
from multiprocessing.managers import BaseManager


class QueueManager(BaseManager):
    """Knows the two queues by name, as every tutorial has it."""


QueueManager.register("get_task_queue")
QueueManager.register("get_result_queue")

manager = QueueManager(address=("127.0.0.1", int(sys.argv[1])), authkey=sys.argv[2].encode())
manager.connect()
task = manager.get_task_queue()
result = manager.get_result_queue()

done = 0
while True:
    try:
        n = task.get(timeout=1)
    except queue.Empty:
        break
    result.put(n * n)
    done += 1
print("done", done)
