"""`connmgr` and `python -m connmgr`."""

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"]:  # answered before anything is imported: it has 150 ms of CPU at most
        from connmgr import __version__

        sys.stdout.write(f"connmgr {__version__}\n")
        return
    from connmgr.cli.app import app

    app(prog_name="connmgr")


if __name__ == "__main__":
    main()
