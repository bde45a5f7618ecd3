"""The server without MONAI Label, for which labels need not wait: ``python label_server.py STUDIES LABELS PORT [LARGEST_FILE]``.

Files may grow to LARGEST_FILE bytes only, which stands for a full disk where none can be mounted.
"""

from __future__ import annotations

import resource
import sys

from label_app import server
from label_app.lib.web.backend import Backend

if __name__ == "__main__":
    studies, labels, port, *largest = sys.argv[1:]
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest[0]), resource.RLIM_INFINITY))
    Backend.start = lambda self: None  # type: ignore[method-assign]
    server.serve(studies=studies, labels=labels, port=int(port), log_level="info")
