"""Commands: `python -m humpback_pipeline run|preflight|summary|ui`."""

from __future__ import annotations

import argparse
import os
import sys

# The domain's errors: all say what, where and how to mend it, so a traceback would only hide that.
EXPECTED_ERRORS = (ValueError, LookupError, OSError, RuntimeError)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    options = _parser().parse_args(arguments)
    # Inherited by every process of a run. OpenMP's threads wait by spinning, which beside any other
    # busy process slows work on a CPU tenfold.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if options.recipe:
        os.environ["HUMPBACK_RECIPE"] = options.recipe
    try:
        if options.command == "run":
            from humpback_pipeline.commands.run import run_all

            return run_all(job=options.job)
        if options.command == "preflight":
            from humpback_pipeline.commands.run import preflight

            preflight()
            return 0
        if options.command == "summary":
            from humpback_pipeline.commands.run import print_summary

            print_summary()
            return 0
        from humpback_pipeline.commands.ui import serve

        return serve(port=options.port)
    except EXPECTED_ERRORS as error:
        if os.environ.get("HUMPBACK_TRACEBACK"):
            raise
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="humpback_pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "run": "materialise the whole graph in one Dagster run, then print the summary",
        "preflight": "check the recipe and everything it names",
        "summary": "print the figures of the latest run",
        "ui": "serve the Dagster UI and the reports on this machine",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--recipe", default="", help="a bundled recipe's name or a YAML file")
        if name == "run":
            command.add_argument("--job", default="humpback", help="job to run (default: all)")
        if name == "ui":
            command.add_argument("--port", type=int, default=3000)
    return parser


if __name__ == "__main__":
    sys.exit(main())
