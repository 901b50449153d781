"""``python -m acfd_stream.cli`` is ``acfd-stream``."""

from __future__ import annotations

import sys

from acfd_stream.cli import main

sys.exit(main())
