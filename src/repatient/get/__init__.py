"""Hand stored results out as tables and objects."""

from repatient.get._augmented import augmented
from repatient.get._compositions import compositions
from repatient.get._generated import generated
from repatient.get._recipes import recipes

__all__ = ["augmented", "compositions", "generated", "recipes"]
