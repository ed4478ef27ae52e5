"""Commands: `python -m humpback_pipeline run|ui|lineage|compare|versions|publish|stale|…`."""

from __future__ import annotations

import argparse
import os
import sys

# The domain's errors: all say what, where and how to mend it, so a traceback would only hide that.
EXPECTED_ERRORS = (ValueError, LookupError, OSError, RuntimeError)
TEXTS = {
    "run": "materialise the whole graph in one Dagster run, then print the summary",
    "preflight": "check the recipe and everything it names",
    "summary": "print the figures of the latest run",
    "ui": "serve the Dagster UI and the pages on this machine",
    "judge": "judge blinded pairs of answers in the browser, on this machine",
    "lineage": "what a model or dataset was made from, or which models were trained on a pair, "
    "page or shard",
    "compare": "compare two versions of a dataset or model",
    "versions": "list the versions of a dataset or model",
    "publish": "make an older version current again",
    "stale": "say what is out of date, and why",
    "push": "upload the last curated set, model or both to the hub that the recipe names",
    "shards": "list the WARC files and their partitions; --forget removes a partition",
    "win-rate": "the win rates of a file of annotations in AlpacaEval's format; with --reference, "
    "of a file of outputs, by the recipe's judge",
}
VERSION_HELP = "a version's name, a unique beginning of it, `current` or `previous`"


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    options = _parser().parse_args(arguments)
    # Inherited by every process of a run. OpenMP's threads wait by spinning, which beside any other
    # busy process slows work on a CPU tenfold.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if options.recipe:
        os.environ["HUMPBACK_RECIPE"] = options.recipe
    try:
        return _dispatch(options)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EXPECTED_ERRORS as error:
        if os.environ.get("HUMPBACK_TRACEBACK"):
            raise
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _dispatch(options: argparse.Namespace) -> int:
    # Each command imports what it needs: some need Dagster, some take seconds to import.
    if options.command in ("lineage", "compare", "stale"):
        return _ask(options)
    if options.command in ("versions", "publish"):
        from humpback_pipeline.commands import versions

        if options.command == "versions":
            return versions.print_versions(options.name, options.partition)
        return versions.publish(options.name, options.version, options.partition)
    if options.command == "shards":
        from humpback_pipeline.commands.shards import forget_shard, list_shards

        return forget_shard(options.forget) if options.forget else list_shards()
    if options.command == "push":
        from humpback_pipeline.commands.push import push_to_hub

        return push_to_hub()
    if options.command == "win-rate":
        from humpback_pipeline.commands.win_rate import judge_and_print, print_win_rates

        if options.reference:
            judged = (options.file, options.reference)
            return judge_and_print(*judged, options.method, options.calibration)
        return print_win_rates(options.file, options.method, options.calibration)
    if options.command == "ui":
        from humpback_pipeline.commands.ui import serve

        return serve(port=options.port)
    if options.command == "judge":
        from humpback_pipeline.commands.judge import judge

        return judge(options.annotator, options.port)
    from humpback_pipeline.commands import run

    if options.command == "run":
        return run.run_all(job=options.job)
    if options.command == "preflight":
        run.preflight()
    else:
        run.print_summary()
    return 0


def _ask(options: argparse.Namespace) -> int:
    from humpback_pipeline.commands import lineage

    if options.command == "lineage":
        return lineage.print_lineage(options.query, options.version, options.all)
    if options.command == "compare":
        name = f"{options.name}/{options.partition}" if options.partition else options.name
        return lineage.print_comparison(name, options.version_a, options.version_b, options.all)
    return lineage.print_stale(options.all)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="humpback_pipeline", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    commands = {}
    for name, text in TEXTS.items():
        commands[name] = subparsers.add_parser(name, help=text, description=text)
        commands[name].add_argument(
            "--recipe", default="", help="a bundled recipe's name or a YAML file"
        )
    commands["run"].add_argument("--job", default="humpback", help="job to run (default: all)")
    commands["ui"].add_argument("--port", type=int, default=3000)
    commands["judge"].add_argument(
        "--annotator", default="", help="names the file of judgements (default: the login name)"
    )
    commands["judge"].add_argument("--port", type=int, default=3002)
    commands["lineage"].add_argument(
        "query",
        help="NAME[/PARTITION][@VERSION], a pair or segment id, a URL (ending in * for all pages "
        "below it), a host, or a shard",
    )
    commands["lineage"].add_argument("--version", default="", help=VERSION_HELP)
    for name in ("compare", "versions", "publish"):
        commands[name].add_argument("name", help="a dataset or model")
        commands[name].add_argument("--partition", default="", help="the shard, if it has shards")
    commands["compare"].add_argument("version_a", help=VERSION_HELP)
    commands["compare"].add_argument("version_b", help=VERSION_HELP)
    commands["publish"].add_argument("version", help=VERSION_HELP)
    commands["shards"].add_argument(
        "--forget", default="", metavar="KEY", help="unregister this partition; data stay"
    )
    _add_win_rate_arguments(commands["win-rate"])
    for name in ("lineage", "compare", "stale"):
        commands[name].add_argument("--all", action="store_true", help="leave nothing out")
    return parser


def _add_win_rate_arguments(command: argparse.ArgumentParser) -> None:
    methods = ("auto", "length_controlled_v1", "length_controlled_minimal")
    command.add_argument("file", help="annotations, JSON or JSONL: AlpacaEval's or ours")
    command.add_argument(
        "--reference",
        default="",
        metavar="FILE",
        help="then FILE holds reference outputs, `file` a model's, and the recipe's judge judges",
    )
    command.add_argument(
        "--method", choices=methods, default="auto", help="of the length-controlled rate"
    )
    command.add_argument(
        "--calibration", default="", metavar="CSV", help="df_gamed.csv, which v1 needs"
    )


if __name__ == "__main__":
    sys.exit(main())
