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
from model_worker.api.settings import WorkerSettings, token_to_serve_with
from model_worker.evaluation.cli import add_calibrate_arguments, add_evaluate_arguments
from model_worker.finetune.cli import add_finetune_arguments


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    log_warnings()
    try:
        settings = WorkerSettings.read()
        options = _parser(settings.pack).parse_args(arguments)
        keep_private(settings.home)
        return int(options.run(options))
    except InvalidSettingError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


def _parser(pack: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keepsake-worker", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer the bot's requests")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8410, help="0 takes a free one and says which")
    serve.add_argument("--pack", default=pack)
    serve.add_argument("--with-parent", action="store_true", help="end when the parent process does")
    serve.set_defaults(run=_serve)
    packs = commands.add_parser("packs", help="list the packs: what each needs, and whether it is here")
    packs.set_defaults(run=_packs)
    pull = commands.add_parser("pull", help="fetch a pack's weights, and check them")
    pull.add_argument("pack")
    pull.set_defaults(run=_pull)
    bench = commands.add_parser("bench", help="time a pack: served to several clients, against called one by one")
    bench.add_argument("pack", nargs="?", default=pack)
    bench.add_argument("--seconds", type=float, default=5.0, help="for each line")
    bench.add_argument("--plot", type=Path, metavar="OUT", help="draw it (PNG)")
    bench.set_defaults(run=_bench)
    add_evaluate_arguments(commands.add_parser("evaluate", help="measure a pack"), pack)
    add_finetune_arguments(commands.add_parser("finetune", help="train adapters on what owners gave and allowed"), pack)
    add_calibrate_arguments(commands.add_parser("calibrate", help="fit how a similarity becomes a probability"), pack)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from model_worker.api.packs import PackError, load_pack
    from model_worker.server.loading import load_models
    from model_worker.server.serve import serve

    try:
        load_pack(options.pack)
    except PackError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    token = token_to_serve_with()
    return serve(lambda: load_models(options.pack), options.host, options.port, token, with_parent=options.with_parent)


def _bench(options: argparse.Namespace) -> int:
    from model_worker.api.packs import PackError
    from model_worker.evaluation.benchmark import bench
    from model_worker.server.batching import in_a_thread_that_ends
    from model_worker.server.loading import load_models

    try:
        models = asyncio.run(in_a_thread_that_ends(lambda: load_models(options.pack)))
        result = bench(models, options.seconds, options.plot)
    except PackError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(json.dumps(asdict(result), indent=1) + "\n")
    return 0


def _packs(_: argparse.Namespace) -> int:
    from model_worker.api.packs import PackError, load_pack, pack_files
    from model_worker.pulling import described

    for name in sorted(pack_files()):
        try:
            sys.stdout.write("\n".join(described(load_pack(name))) + "\n\n")
        except PackError as problem:
            sys.stdout.write(f"{name}: {problem}\n\n")
    return 0


def _pull(options: argparse.Namespace) -> int:
    from model_worker.api.packs import PackError, load_pack
    from model_worker.pulling import pull

    try:
        for line in pull(load_pack(options.pack)):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except PackError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
