"""One thread for every test: networks here are small, and threads that wait for each other cost more than they give."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the commands that tests start
