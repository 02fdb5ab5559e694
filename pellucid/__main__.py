"""The command line as a module, `python -m pellucid`: in a clone it needs no installation."""

from pellucid.benchmark.cli.app import main

if __name__ == "__main__":
    main()
