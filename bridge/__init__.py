"""A workload-identity registration bridge: an OAuth 2.0 authorization server beside SPIRE.

The spine is present -> verify -> decide -> register -> issue. Each verb has a package of its own;
`tests/test_layers.py` holds which of them may import which.
"""

__version__ = "0.1.0"
