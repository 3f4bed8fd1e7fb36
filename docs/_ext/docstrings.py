"""Read docstrings as this package writes them.

Three things differ from what napoleon expects: *Returns* may say in prose what is returned and what is stored, where
napoleon takes the first line for a type; *Attributes* may describe several names at once, as *Parameters* do; and what
stands before a colon in the docstring of a property is no type either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sphinx.ext import napoleon

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Docstring(napoleon.NumpyDocstring):
    """A numpydoc docstring with prose under Returns."""

    def _parse_returns_section(self, section: str) -> list[str]:
        prose = self._dedent(self._strip_empty(self._consume_to_next_section()))
        return [":returns:", *self._indent(prose, 4), ""]

    def _consume_inline_attribute(self) -> tuple[str, list[str]]:
        return "", self.__class__(self._consume_to_end(), self._config).lines()

    def _parse_attributes_section(self, section: str) -> list[str]:
        return self._format_docutils_params(self._consume_fields(multiple=True), "ivar", "vartype")


def skip_foreign(app: Sphinx, what: str, name: str, obj: Any, skip: Any, options: Any) -> bool | None:
    """Leave out what scikit-learn adds to its estimators, and fields of named tuples, which are parameters already."""
    is_request = name.startswith("set_") and name.endswith("_request")
    return True if is_request or str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Take the place of napoleon's own reader."""
    napoleon.NumpyDocstring = Docstring
    app.connect("autodoc-skip-member", skip_foreign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
