"""The command line: exit codes and errors. Arguments stand in arguments.py, what is done in commands, imported late."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from tabscm.arguments import parser_of_all
from tabscm.engine.signals import Stopped, heard
from tabscm.kernel.errors import TabSCMError

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 2 when something has to be mended first, or as Stopped says."""
    parser = parser_of_all()
    args = parser.parse_args(argv)
    try:
        code = _act(parser, args)
        sys.stdout.flush()
    except TabSCMError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\nstopped. {stop}" if stop.args else "\nstopped", file=sys.stderr)
        return stop.code if isinstance(stop, Stopped) else INTERRUPTED
    except BrokenPipeError:
        # whoever read the output has gone; nothing more can be written, not even when Python flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code


def _act(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.version:
        from importlib.metadata import version

        print(f"tabscm {version('tabscm')}")
        return 0
    if args.command is None:
        parser.print_help()
        return 2
    # on a CPU, oneDNN compiles a kernel per shape of table; its own limit of 1024 makes a stream of many shapes a third
    # slower, for it compiles the same ones again and again
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "4096")
    # torch and all that needs it, a second to import: not for --help
    with heard() if args.command == "run" else contextlib.nullcontext():
        from tabscm.commands import call

        return call(args)


if __name__ == "__main__":
    sys.exit(main())
