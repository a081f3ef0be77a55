"""A parent process for the tests: `python serving_launcher.py OPTIONS_PICKLE [VERDICT]`. With a verdict's file the
workers are prepared when that file is there; it holds the exit code."""

import pickle
import sys
import time
from pathlib import Path

from bridge.serving.supervisor import serve

if __name__ == "__main__":
    options = pickle.loads(Path(sys.argv[1]).read_bytes())
    if len(sys.argv) == 2:
        sys.exit(serve(options))
    verdict = Path(sys.argv[2])

    def prepared(seconds: float) -> int | None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if verdict.exists():
                return int(verdict.read_text())
            time.sleep(0.01)
        return None

    sys.exit(serve(options, prepared=prepared))
