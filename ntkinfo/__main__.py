"""Where the command `ntkinfo`, and `python -m ntkinfo`, begin: Ctrl-C is answered from the first import on."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line and exit; see `ntkinfo.cli.main` for the exit codes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # batch systems end a job with it
    try:
        from ntkinfo import cli
    except KeyboardInterrupt:
        print("Interrupted before anything was begun.", file=sys.stderr)
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
