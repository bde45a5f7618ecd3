"""Label formats: one module each, with ``read_x(path, *, schema)`` and ``write_x(path, labels)``, and the table of them all."""

from monai_tavr.formats.table import FORMATS, LOSSES, Format, LossWarning

__all__ = ["FORMATS", "LOSSES", "Format", "LossWarning"]
