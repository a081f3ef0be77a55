"""The configuration: its shape (`settings`), what can be wrong across it (`checks`), and reading it (`loading`).

Not checked here: that policies load, that bundles can be read, that the store answers; `bridge check` does.
"""

from bridge.config.loading import load_settings as load_settings
from bridge.config.loading import read_configuration as read_configuration
from bridge.config.loading import settings_from as settings_from
from bridge.config.settings import Settings as Settings
