"""Processes that do not outlive the one they work for."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import wait

PR_SET_PDEATHSIG = 1


def die_with_parent() -> bool:
    """Have the kernel kill this process when its parent dies; return whether it will.

    For the main thread of a process made by multiprocessing: a killed run must not leave a step
    behind that goes on writing. Linux only (prctl, PR_SET_PDEATHSIG); elsewhere nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return False
    # A parent that died before the call above sends no signal any more.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    # Under a fork server that server is the parent, and it lives as long as any of its children:
    # whoever had this process made must be watched as well.
    maker = multiprocessing.parent_process()
    if maker is not None and maker.pid != parent:
        threading.Thread(
            target=_die_after, args=(maker.sentinel,), name="die-with-maker", daemon=True
        ).start()
    return True


def _die_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def let_itself_be_ended() -> None:
    """Have SIGTERM end this process, and leave interrupts to the one it works for.

    An ignored or blocked signal is inherited. The terminal sends Ctrl-C to all processes of the
    group; the parent decides.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def exit_when_orphaned(parent_pid: int, every_s: float = 0.5) -> None:
    """Watch from a thread, and leave at once when this process is no longer `parent_pid`'s child.

    For a helper that any thread may have started: the kernel's signal of `die_with_parent` would
    come as soon as that one thread ends.
    """

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(every_s)
        os._exit(1)

    threading.Thread(target=watch, name="exit-when-orphaned", daemon=True).start()
