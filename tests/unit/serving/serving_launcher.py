"""A parent process for the tests: `python serving_launcher.py OPTIONS_PICKLE`."""

import pickle
import sys
from pathlib import Path

from bridge.serving.supervisor import serve

if __name__ == "__main__":
    sys.exit(serve(pickle.loads(Path(sys.argv[1]).read_bytes())))
