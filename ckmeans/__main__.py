"""``python -m ckmeans``: the same as the ``ckmeans`` command."""

import sys

from ckmeans.cli import main

if __name__ == "__main__":
    sys.exit(main())
