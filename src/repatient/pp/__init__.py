"""From measured features to an embedding that new patients can be brought into."""

from repatient.pp._embed import embed
from repatient.pp._project import project

__all__ = ["embed", "project"]
