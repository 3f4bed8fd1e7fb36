"""What an object holds as one HTML page; :func:`repatient.io.write_report` writes it."""

from repatient.report._render import render
from repatient.report._request import Request

__all__ = ["Request", "render"]
