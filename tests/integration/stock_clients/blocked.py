"""A textbook worker that waits for a task without a limit."""

import sys
from multiprocessing.managers import BaseManager


class QueueManager(BaseManager):
    """Knows the task queue by name."""


QueueManager.register("get_task_queue")

manager = QueueManager(address=("127.0.0.1", int(sys.argv[1])), authkey=sys.argv[2].encode())
manager.connect()
task = manager.get_task_queue()
print("waiting", flush=True)
print(task.get())
