"""`keepsake-worker evaluate`: measure a pack on pictures and questions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model_worker.api.packs import PackError, load_pack


def add_evaluate_arguments(parser: argparse.ArgumentParser, pack: str) -> None:
    """Add the evaluations as subcommands; each sets ``run``, which returns the exit code.

    ``pack`` is the one that is measured unless another is named.
    """
    commands = parser.add_subparsers(dest="evaluation", required=True)
    identify = commands.add_parser("identify", help="know a thing again from one picture")
    identify.add_argument("photos", type=Path, help="a folder with a folder a thing")
    identify.set_defaults(run=_identify)
    scenes = commands.add_parser("scenes", help="find things in pictures with several")
    scenes.add_argument("scenes", type=Path, help="a folder with truth.json")
    scenes.add_argument("--photos", type=Path, required=True, help="where the memory's references are")
    scenes.add_argument("--sheet", type=Path, help="picture sheet of the worst cases (default: beside OUT)")
    scenes.set_defaults(run=_scenes)
    verification = commands.add_parser("verification", help="let the writer confirm or reject what recall is unsure of")
    verification.add_argument("photos", type=Path, help="a folder with a folder a thing")
    verification.set_defaults(run=_verification)
    words = commands.add_parser("words", help="answer the house's own questions")
    words.set_defaults(run=_words)
    learning = commands.add_parser("learning", help="train on a memory, and measure what that gave: minutes a seed")
    learning.add_argument("--memory", choices=("developed_with", "held_out"), default="held_out")
    learning.add_argument("--seeds", type=int, default=3, help="how many trainings")
    learning.set_defaults(run=_learning)
    for command in (identify, scenes, verification, words, learning):
        command.add_argument("--json", type=Path, metavar="OUT", help="write the result here, too")
        command.add_argument("--pack", default=pack, help="whose models are measured (default: %(default)s)")


def add_calibrate_arguments(parser: argparse.ArgumentParser, pack: str) -> None:
    """Add the arguments of `keepsake-worker calibrate`."""
    parser.add_argument("photos", type=Path, help="a folder with a folder a thing")
    parser.add_argument("--plot", type=Path, metavar="OUT", help="draw the reliability (PNG)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the result here, too")
    parser.add_argument("--pack", default=pack, help="whose embedder is calibrated (default: %(default)s)")
    parser.set_defaults(run=_calibrate)


def _calibrate(options: argparse.Namespace) -> int:
    from model_worker.evaluation.calibration import calibrate
    from model_worker.server.loading import load_perceiver

    return _report(
        lambda: calibrate(load_perceiver(load_pack(options.pack)), options.photos, options.plot), options.json
    )


def _identify(options: argparse.Namespace) -> int:
    from model_worker.evaluation.identification import evaluate_identify
    from model_worker.server.loading import load_perceiver

    return _report(lambda: evaluate_identify(load_perceiver(load_pack(options.pack)), options.photos), options.json)


def _scenes(options: argparse.Namespace) -> int:
    from model_worker.evaluation.scenes import evaluate_scenes
    from model_worker.server.loading import load_perceiver

    sheet = options.sheet or (options.json and options.json.with_suffix(".png"))
    return _report(
        lambda: evaluate_scenes(load_perceiver(load_pack(options.pack)), options.scenes, options.photos, sheet),
        options.json,
    )


def _verification(options: argparse.Namespace) -> int:
    from model_worker.evaluation.verification import evaluate_verification
    from model_worker.server.loading import load_models

    def evaluate() -> Any:
        models = load_models(options.pack)
        return evaluate_verification(models.perceiver, models.writer, models.verification, options.photos)

    return _report(evaluate, options.json)


def _words(options: argparse.Namespace) -> int:
    from model_worker.evaluation.questions import evaluate_questions

    return _report(evaluate_questions, options.json)


def _learning(options: argparse.Namespace) -> int:
    from model_worker.evaluation.personalization import evaluate_learning

    return _report(
        lambda: evaluate_learning(load_pack(options.pack), options.memory, range(options.seeds)), options.json
    )


def _report(evaluate: Callable[[], Any], path: Path | None) -> int:
    """Evaluate, print the scores and write them to the path; 2 when the pictures can't be used."""
    try:
        scores = evaluate()
    except (PackError, ValueError, KeyError, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    text = json.dumps(asdict(scores), indent=1) + "\n"
    sys.stdout.write(text)
    if path is not None:
        path.write_text(text, encoding="utf-8")
    return 0
