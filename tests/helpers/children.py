"""Children of a server that has no threads.

A child of the test process itself may wait for ever for a lock that a thread of that process held when it was forked.
"""

from __future__ import annotations

import multiprocessing
import pkgutil
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

import repatient as rp

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

# What each child would import first.
MODULES = [name for _, name, _ in pkgutil.walk_packages(rp.__path__, "repatient.") if not name.endswith("__main__")]
PRELOADED = ["pytest", __name__, "torch.fx.experimental.symbolic_shapes", *MODULES]
TESTS = Path(__file__).resolve().parents[1]


class Child:
    """A child that does ``work(tell)``, where ``tell(something)`` reaches the test.

    Parameters
    ----------
    work
        Any function, also one of a test; what it changes stays in the child.
    seconds
        How long :meth:`hear` waits for a word; then the child is killed, and the wait is an error.
    """

    def __init__(self, work: Callable[[Callable[[Any], None]], Any], seconds: float) -> None:
        for module in list(sys.modules.values()):
            # The server cannot import what pytest did.
            if TESTS in Path(getattr(module, "__file__", None) or "/").parents and module.__name__ != __name__:
                cloudpickle.register_pickle_by_value(module)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._seconds = seconds
        self._connection, other = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(cloudpickle.dumps(work), other))
        self._process.start()
        # Only the child holds the other end now: when it is dead, there is nothing more to hear.
        other.close()

    def hear(self) -> Any:
        """The next thing that the child tells, or None if it has ended."""
        if not self._connection.poll(self._seconds):
            self.kill()
            msg = f"the child said nothing for {self._seconds} seconds"
            raise TimeoutError(msg)
        try:
            said = self._connection.recv()
        except EOFError:
            return None
        if isinstance(said, _Failure):
            self.kill()
            msg = f"the child failed:\n{said.text}"
            raise RuntimeError(msg)
        return said

    def wait(self) -> int:
        """The number of the signal that ended the child, 0 for none, once it has ended."""
        self._process.join(self._seconds)
        ended = self._process.exitcode
        self.kill()
        if ended is None:
            msg = f"the child did not end within {self._seconds} seconds"
            raise TimeoutError(msg)
        return max(-ended, 0)

    def kill(self) -> None:
        """Kill the child, if it still lives."""
        self._process.kill()
        self._process.join()
        self._connection.close()


class _Failure:
    def __init__(self, text: str) -> None:
        self.text = text


def _work(pickled: bytes, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        cloudpickle.loads(pickled)(connection.send)
    except BaseException:  # noqa: BLE001
        connection.send(_Failure(traceback.format_exc()))
