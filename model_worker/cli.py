"""`keepsake-worker`: serve a pack's models, list and fetch packs, evaluate or finetune them."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from db.setup.private import keep_private
from db.setup.redaction import log_warnings
from db.setup.settings import InvalidSettingError
from model_worker.api.packs import PackError, load_pack, pack_files
from model_worker.api.settings import WorkerSettings, token_to_serve_with
from model_worker.evaluation.cli import add_calibrate_arguments, add_evaluate_arguments
from model_worker.finetune.cli import add_finetune_arguments
from model_worker.pulling import described, pull

DESCRIPTION = "The models of the bot: serves a pack of them, fetches, measures and finetunes them."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    log_warnings()
    try:
        settings = WorkerSettings.read()
        options = _parser(settings.pack).parse_args(arguments)
        keep_private(settings.home)
        return int(options.run(options))
    except (InvalidSettingError, PackError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


def _parser(pack: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keepsake-worker", description=DESCRIPTION)
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    _add_serve(commands.add_parser("serve", help="answer the bot's requests over HTTP"), pack)
    packs = commands.add_parser("packs", help="list the packs: what each is for and needs, and whether it is here")
    packs.set_defaults(run=_packs)
    fetch = commands.add_parser("pull", help="fetch the weights of a pack, and check that every file is whole")
    fetch.add_argument("pack", metavar="PACK", help="a pack's name, as `keepsake-worker packs` lists it")
    fetch.set_defaults(run=_pull)
    _add_bench(commands.add_parser("bench", help="measure how many requests a second a served pack answers"), pack)
    add_evaluate_arguments(commands.add_parser("evaluate", help="measure how well a pack recognises and answers"), pack)
    add_calibrate_arguments(
        commands.add_parser("calibrate", help="fit how similarities become probabilities, on photos"), pack
    )
    add_finetune_arguments(commands.add_parser("finetune", help="train adapters on what owners gave and allowed"), pack)
    return parser


def _add_serve(parser: argparse.ArgumentParser, pack: str) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8410, help="the port to listen on; 0 is a free one (default: %(default)s)"
    )
    parser.add_argument("--pack", default=pack, help="whose models are served (default: %(default)s)")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started it does")
    parser.set_defaults(run=_serve)


def _add_bench(parser: argparse.ArgumentParser, pack: str) -> None:
    parser.description = (
        "Compares the pack's models behind the server, asked by 1 to 64 clients, with calling them alone."
    )
    parser.add_argument("pack", nargs="?", metavar="PACK", default=pack, help="a pack's name (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="how long each number of clients asks (default: %(default)s)"
    )
    parser.add_argument("--plot", type=Path, metavar="OUT", help="draw the result, too (PNG)")
    parser.set_defaults(run=_bench)


def _serve(options: argparse.Namespace) -> int:
    from model_worker.server.loading import load_models
    from model_worker.server.serve import serve

    load_pack(options.pack)  # what is wrong with it is said here, not in the background
    token = token_to_serve_with()
    return serve(lambda: load_models(options.pack), options.host, options.port, token, with_parent=options.with_parent)


def _bench(options: argparse.Namespace) -> int:
    from model_worker.evaluation.benchmark import bench
    from model_worker.server.batching import in_a_thread_that_ends
    from model_worker.server.loading import load_models

    models = asyncio.run(in_a_thread_that_ends(lambda: load_models(options.pack)))
    result = bench(models, options.seconds, options.plot)
    sys.stdout.write(json.dumps(asdict(result), indent=1) + "\n")
    return 0


def _packs(_: argparse.Namespace) -> int:
    for name in sorted(pack_files()):
        try:
            sys.stdout.write("\n".join(described(load_pack(name))) + "\n\n")
        except PackError as problem:
            sys.stdout.write(f"{name}: {problem}\n\n")
    return 0


def _pull(options: argparse.Namespace) -> int:
    for line in pull(load_pack(options.pack)):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
