"""Limits that a process gives itself before it reads what a stranger sent."""

from __future__ import annotations

import sys

try:
    import resource
except ImportError:  # Windows has no such limits: there those of time and size, which the parent keeps to, hold alone
    resource = None  # type: ignore[assignment]

MAX_FILES = 32
"""Open at once: Python needs a few to import what it hasn't imported yet."""


def limit_this_process(memory: int, cpu_seconds: int | None = None) -> None:
    """Let this process have so many bytes of address space, so much time, few files, and none that it writes to.

    macOS doesn't limit the address space, and Windows nothing of this.
    """
    if resource is None:
        return
    limits = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: MAX_FILES}
    if cpu_seconds is not None:
        limits[resource.RLIMIT_CPU] = cpu_seconds
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = memory
    for which, limit in limits.items():
        resource.setrlimit(which, (limit, limit))
