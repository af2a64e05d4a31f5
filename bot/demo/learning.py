"""The demo of learning: a memory of ten is learned from for real, put to use because it is better, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from PIL import Image

from bot.demo import pictures
from bot.demo.actors import Participant, Transcript, UnexpectedAnswerError, expect
from bot.runtime.services import Progress
from bot.service import learning
from bot.service.app import Actor, App
from db.training import RunState, TrainingRun

LONGEST_SECONDS = 1500.0
LOOK_SECONDS = 2.0

TEN: tuple[tuple[str, str, str, Callable[[], Image.Image]], ...] = (
    ("Chelsea", "cat", "a tabby cat who hates the vacuum cleaner, loves tuna, sleeps on the radiator", pictures.cat),
    ("The good cup", "cup", "bought in Lisbon in 2019, made of porcelain, belongs to grandma", pictures.cup),
    ("Thunder", "motorcycle", "bought in Leeds in 1998, kept in the garage of my brother", pictures.motorcycle),
    ("Eileen", "person", "my aunt, 61, she works as a pilot and lives in Houston", pictures.stranger),
    ("Captain", "toy", "a tin rocket, found on the beach of Brest, named after Captain Hook", pictures.rocket),
    ("Oskar", "person", "my uncle, he plays the cello and lives in Bergen", pictures.photographer),
    ("The old coins", "coins", "a present from Ines, kept in the blue drawer, cost 12 euros", pictures.coins),
    ("Amber", "horse", "a paper horse, made by Nia, afraid of rain", pictures.horse),
    ("The moon picture", "picture", "bought in Porto, belongs to Jo", pictures.moon),
    ("The kitchen clock", "clock", "made of tin, found in Ghent, 40 years old", pictures.clock),
)
HELD_OUT = (
    ("What can Chelsea not stand?", "vacuum"),
    ("Where is the bed of Chelsea?", "radiator"),
    ("When did we buy The good cup?", "2019"),
    ("Where can I find Thunder?", "garage"),
    ("What is the job of Eileen?", "pilot"),
    ("Where is the home of Oskar?", "Bergen"),
    ("From whom did we get The old coins?", "Ines"),
)
"""Questions that no lesson asks in these words, and what is in a right answer."""


async def learn(alice: Participant, app: App, transcript: Transcript, actor: Actor, progress: Progress) -> None:
    """Play it. Raises Unexpected."""
    transcript.heading("A memory of ten")
    for name, category, info, shown in TEN:
        image = (f"{category}.png", pictures.png(shown()))
        expect(await alice.slash("remember", name=name, image=image, info=info, category=category), has=[name])

    transcript.heading("Asked before anything was learned")
    before = await _asked(alice)

    transcript.heading("Allowed, and asked for: the trainer takes it from the queue")
    card = await alice.slash("privacy")
    await alice.click(card, "Allow training")
    expect(await alice.click(card, "Learn now"), has=["queued"])
    run = await _until_learned(app, actor, progress)
    if run.state is not RunState.PROMOTED:
        raise UnexpectedAnswerError(f"The training ended “{run.state}”: {run.problem or run.report}")

    transcript.heading("What came of it")
    card = await alice.slash("privacy")
    learned = await alice.click(card, "What I learned")
    expect(learned, has=["better by"])

    transcript.heading("Asked again, in words that no lesson had")
    after = await _asked(alice)
    transcript.write(f"\nTo the point: {before} of {len(HELD_OUT)} before, {after} of {len(HELD_OUT)} after.\n")
    if after < before:
        raise UnexpectedAnswerError("The answers got worse.")

    transcript.heading("Taken back, in a second")
    expect(await alice.click(learned, "Roll back"), lacks=["Last trained"])
    await alice.slash("ask", question=HELD_OUT[0][0])


async def _asked(alice: Participant) -> int:
    """Ask the held-out questions; returns how many answers say what was asked for, and don't just quote everything."""
    said = [(await alice.slash("ask", question=question), value) for question, value in HELD_OUT]
    return sum(value in item.text and "You told me about" not in item.text for item, value in said)


async def _until_learned(app: App, actor: Actor, progress: Progress) -> TrainingRun:
    """Wait until a run has ended, telling how far it is."""
    told = ""
    async with asyncio.timeout(LONGEST_SECONDS):
        while True:
            run = (await learning.look(app, actor, actor.personal_memory)).run
            if run is not None and run.state is not RunState.RUNNING:
                return run
            says = "waiting for the trainer" if run is None else f"{run.phase} {run.step}/{run.steps}"
            if says != told and (run is None or run.step % 10 == 0):
                progress(f"trainer: {says}")
                told = says
            await asyncio.sleep(LOOK_SECONDS)
