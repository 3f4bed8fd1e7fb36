"""Recipe and pool in, rows of generated patients out."""

from repatient.sampling._draw import Draw, draw_patients, most_per_donor

__all__ = ["Draw", "draw_patients", "most_per_donor"]
