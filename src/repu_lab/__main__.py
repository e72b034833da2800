"""`python -m repu_lab` is `repu-lab`."""

import sys

from repu_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
