"""`keepsake`: up, demo, doctor, settings."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from importlib.util import find_spec
from pathlib import Path

import discord

from bot.client import Keepsake
from bot.metrics import serve_metrics
from bot.runtime.doctor import check_all
from bot.runtime.jobs import make_queue, running_jobs
from bot.runtime.migration_step import migrate_and_start_again
from bot.runtime.services import ServiceError, Services, running_services
from bot.runtime.settings import Settings, as_markdown, as_text, settings_table
from bot.runtime.trainer_process import running_trainer
from db.setup.private import keep_private
from db.setup.redaction import log_warnings
from db.setup.settings import InvalidSettingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    log_warnings()
    try:
        settings = Settings.read()
        keep_private(settings.home)
        if options.run is _up and settings.database_url is not None and os.name == "posix":
            given = sys.argv[1:] if arguments is None else arguments
            migrate_and_start_again(settings.database_url.get_secret_value(), given)
        return asyncio.run(_until_terminated(options.run(settings, options)))
    except asyncio.CancelledError:
        return 143
    except InvalidSettingError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    except ServiceError as problem:
        sys.stderr.write(f"{problem}\n`keepsake doctor` looks at every part.\n")
        return 1
    except KeyboardInterrupt:
        return 130


async def _until_terminated(work: Coroutine[None, None, int]) -> int:
    """Run the work; SIGTERM ends it as Ctrl-C does, so that no part is left behind."""
    task = asyncio.ensure_future(work)
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keepsake", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run the bot (without DISCORD_TOKEN: the sandbox) until Ctrl-C")
    up.set_defaults(run=_up)
    demo = commands.add_parser("demo", help="play a conversation and check it")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), help="where transcript and pictures go")
    demo.add_argument("--finetune", action="store_true", help="instead, train on a memory for real: some ten minutes")
    demo.set_defaults(run=_demo)
    doctor = commands.add_parser("doctor", help="look at every part")
    doctor.set_defaults(run=_doctor)
    settings = commands.add_parser("settings", help="list the environment variables: what each is, and its value now")
    settings.add_argument("--markdown", action="store_true", help="as the README's table")
    settings.set_defaults(run=_settings)
    return parser


def _progress(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _check_sandbox() -> None:
    """Check that the simulated Discord is installed, which a plain install leaves out. Raises ServiceError."""
    if find_spec("simcord") is None:
        raise ServiceError(
            "sandbox: the simulated Discord isn't installed. `pip install 'keepsake-bot[sandbox]'` brings it; "
            "to be a bot on Discord, set DISCORD_TOKEN."
        )


async def _demo(settings: Settings, options: argparse.Namespace) -> int:
    _check_sandbox()
    from bot.demo.play import play

    return 0 if await play(settings, options.out, _progress, finetune=options.finetune) else 1


async def _doctor(settings: Settings, _: argparse.Namespace) -> int:
    findings = await check_all(settings)
    for finding in findings:
        _progress(str(finding))
    return 0 if all(finding.is_ok for finding in findings) else 1


async def _settings(settings: Settings, options: argparse.Namespace) -> int:
    rows = settings_table(settings)
    sys.stdout.write(as_markdown(rows) if options.markdown else as_text(rows))
    return 0


async def _up(settings: Settings, _: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.metrics is not None:
        try:
            serve_metrics(settings.metrics)
        except OSError as error:
            raise ServiceError(
                f"metrics: KEEPSAKE_METRICS={settings.metrics} can't be listened on: {error}."
            ) from error
    if settings.discord_token is None:
        _check_sandbox()
    async with running_services(settings, _progress) as services, running_trainer(settings, services):
        if settings.discord_token is None:
            from bot.demo.sandbox import sandbox

            async with running_jobs(make_queue(services.app_url, services.app, None)):
                await sandbox(services.app, _progress, stop)
        else:
            await _on_discord(services, settings.discord_token.get_secret_value(), stop)
        _progress("stopping")
    return 0


async def _on_discord(services: Services, token: str, stop: asyncio.Event) -> None:
    """Be a bot on Discord until ``stop`` is set. Raises ServiceError when Discord refuses it."""
    _progress("discord: logging in")
    try:
        await _connected(Keepsake(services.app), services, token, stop)
    except discord.LoginFailure as error:
        raise ServiceError(
            "discord: the token isn't accepted: copy it again from the developer portal, under Bot."
        ) from error
    except discord.PrivilegedIntentsRequired:
        _progress(
            "discord: the message content intent is off, so replies to other people's pictures stay unread; "
            "mentions, commands and direct messages work"
        )
        await _connected(Keepsake(services.app, message_content=False), services, token, stop)


async def _connected(bot: Keepsake, services: Services, token: str, stop: asyncio.Event) -> None:
    async with bot, running_jobs(make_queue(services.app_url, services.app, bot)):
        session = asyncio.create_task(bot.start(token))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({session, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if session.done():
            session.result()
        else:
            await bot.close()
            with contextlib.suppress(asyncio.CancelledError):
                await session


if __name__ == "__main__":
    sys.exit(main())
