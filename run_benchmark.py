#!/usr/bin/env python3
"""The command line of the benchmark; without a command it runs the `quick` preset."""

from pellucid.benchmark.cli.app import main

if __name__ == "__main__":
    main()
