"""`python -m seewhy`: the same as `seewhy`, for `torchrun -m seewhy`, say."""

import sys

from seewhy.cli import main

if __name__ == "__main__":
    sys.exit(main())
