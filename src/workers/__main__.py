"""`python -m workers`: work until SIGTERM or SIGINT."""

from __future__ import annotations

import sys

from workers.main import main

if __name__ == "__main__":
    sys.exit(main())
