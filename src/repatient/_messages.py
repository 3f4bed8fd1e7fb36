"""What the package says: one logger that is as talkative as scanpy is set to be, and warnings at the user's line."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)
# Level of each of scanpy's verbosities 0 to 4: error, warning, info, hint, debug.
HINT = 15
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, HINT, logging.DEBUG)
logging.addLevelName(HINT, "HINT")

logger = logging.getLogger("repatient")


class _AsScanpy(logging.Filter):
    """Let pass what `scanpy.settings.verbosity` lets pass; without scanpy, warnings and errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        scanpy = sys.modules.get("scanpy")
        verbosity = getattr(getattr(scanpy, "settings", None), "verbosity", 1)
        return record.levelno >= _LEVELS[min(max(int(getattr(verbosity, "value", verbosity)), 0), len(_LEVELS) - 1)]


class _ToStderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what is standard error at that moment: notebooks and tests put another one in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.addFilter(_AsScanpy())

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        return sys.stderr


if not logger.handlers:
    logger.addHandler(_ToStderr())
    # The handler's filter decides, message by message; a user's own handlers of the root logger stay out of it.
    logger.setLevel(logging.DEBUG)
    logger.propagate = False


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line that called the package, however deep inside it this is."""
    depth, outermost, frame = 1, 1, sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith(_PACKAGE):
            outermost = depth
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(message, category, stacklevel=outermost + 1)
