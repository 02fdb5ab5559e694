#!/usr/bin/env python3
"""The command line of the benchmark; without a command it runs the `quick` preset."""

import sys

from robust_interpretability.benchmark.cli.app import entry_point

sys.exit(entry_point())
