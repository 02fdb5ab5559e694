"""Versions of this program, of the configuration's format and of the protocol."""

__version__ = "0.1.0"

CONFIG_VERSION = 1
"""Of the format of configurations; a program reads its own version only."""

PROTOCOL_VERSION = 3
"""Raised when a score of the board means something else; a table holds entries of one version.

In version 2 robust accuracy is AutoAttack's. In version 3 retrainings start from other weights at
every fraction, are compared in pairs, and have controls; intervals include networks and images.
"""
