"""Others' budget reservations, run by the Python of an environment of their own.

Nothing here may import more of this package than runner.py needs: the product is not installed
there.
"""

from __future__ import annotations
