"""One module per label format, each with ``read_...`` and ``write_...``."""
