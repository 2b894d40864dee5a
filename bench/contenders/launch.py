"""Runs a command and prints a line of JSON: its seconds from start to exit, its peak memory and its exit code.

A process of its own, and a small one: Linux counts the memory of the process that starts a command as the command's.

Usage:
    python -I -S launch.py COMMAND...
"""

import os
import sys
import time

start = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
kibibytes = usage.ru_maxrss // (1024 if sys.platform == "darwin" else 1)
print(f'{{"seconds": {seconds}, "kibibytes": {kibibytes}, "code": {os.waitstatus_to_exitcode(status)}}}')
