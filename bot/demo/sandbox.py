"""The sandbox: Discord simulated in a browser, with a few posted pictures; the bot is the real one.

It has two viewers, of whom alice may manage the server.
"""

from __future__ import annotations

import asyncio
import contextlib

import discord
import simcord
from simcord.preview import Preview

from bot.client import Keepsake
from bot.demo import pictures
from bot.runtime.services import Progress
from bot.service.app import App
from bot.ui import live

SETTLE_SECONDS = 120.0
ADVICE = (
    "For the real Discord: make an application on https://discord.com/developers/applications, add a bot, copy its "
    "token, and start again with DISCORD_TOKEN=… in the environment."
)


async def sandbox(app: App, progress: Progress, stop: asyncio.Event) -> None:
    """Serve the sandbox until ``stop`` is set, printing its address."""
    async with simcord.run(Keepsake(app), settle_timeout=SETTLE_SECONDS) as env:
        guild = env.create_guild("Sandbox")
        channel = guild.create_text_channel("pictures")
        keeper = guild.create_role("Keepers", permissions=discord.Permissions(manage_guild=True))
        alice = guild.add_member(env.create_user("alice"), roles=[keeper])
        bob = guild.add_member(env.create_user("bob"))
        mention = f"<@{env.bot.user.id}>" if env.bot.user else ""
        for name, picture in (
            ("cat.png", pictures.cat()),
            ("cup.png", pictures.cup()),
            ("both.png", pictures.cat_and_cup()),
        ):
            text = f"{mention} who is in this?"
            await alice.send(channel, text, attachments=[(name, pictures.png(picture))])
        async with env.preview(channel, viewers=[alice, bob], layout="channel") as preview:
            progress(f"sandbox: open {preview.url} (the address is a secret)")
            progress("sandbox: press “remember this” under the cat, reply to the last picture, or type /remember,")
            progress("sandbox: /memories, /privacy or (as alice) /server memory")
            progress(ADVICE)
            passing = asyncio.create_task(pass_time(env, preview))
            try:
                await stop.wait()
            finally:
                passing.cancel()


async def pass_time(env: simcord.Env, preview: Preview) -> None:
    """Let simulated time go by while a card is live: of itself it stands still between what people do."""
    while True:
        await asyncio.sleep(live.SECONDS_BETWEEN)
        if live.is_any_live():
            with contextlib.suppress(simcord.SetupError, TimeoutError):  # somebody is just doing something
                await env.advance_time(live.SECONDS_BETWEEN)
                await preview.refresh()
