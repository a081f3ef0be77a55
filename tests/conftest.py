"""For the whole suite: how hypothesis searches."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No test here is timed: a busy machine makes nothing wrong. In CI the examples are the same each time, so
# that a run says something about the change; on people's machines each run looks elsewhere.
settings.register_profile(
    "suite",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("suite")
