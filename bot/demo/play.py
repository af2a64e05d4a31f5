"""The demo's conversation, and what is expected of it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import discord
import simcord

from bot.client import Keepsake
from bot.demo import pictures
from bot.demo.actors import Participant, Transcript, UnexpectedAnswerError, expect
from bot.demo.learning import learn
from bot.runtime.services import Progress, running_services
from bot.runtime.settings import Settings
from bot.runtime.trainer_process import running_trainer
from bot.service.app import Actor, App

SETTLE_SECONDS = 120.0
CAT, CUP, MOTORCYCLE = "Chelsea", "The good cup", "Thunder"


async def play(settings: Settings, folder: Path, progress: Progress, *, finetune: bool = False) -> bool:
    """Play the conversation, or how a memory is learned from, with a memory of its own; whether all was as expected."""
    _empty(folder)
    home = Path(tempfile.mkdtemp(prefix="keepsake-demo-"))
    started = time.monotonic()
    settings = settings.model_copy(update={"home": home, "database_url": None})
    try:
        async with running_services(settings, progress) as services:
            transcript = Transcript(folder=folder, is_exact=settings.pack == "starter")
            if not finetune:
                return await _play(services.app, transcript, progress, started)
            async with running_trainer(settings, services):
                return await _play(services.app, transcript, progress, started, finetune=True)
    finally:
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)


def _empty(folder: Path) -> None:
    """Make the folder, without what an earlier demo left there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("picture-*.jpg"), *folder.glob("transcript.md")]:
        old.unlink()


async def _play(
    app: App, transcript: Transcript, progress: Progress, started: float, *, finetune: bool = False
) -> bool:
    try:
        async with simcord.run(Keepsake(app), settle_timeout=SETTLE_SECONDS) as env:
            guild = env.create_guild("The Kitchen Table")
            channel = guild.create_text_channel("pictures")
            keeper = guild.create_role("Keepers", permissions=discord.Permissions(manage_guild=True))
            members = [
                guild.add_member(env.create_user(name), roles=roles)
                for name, roles in (("alice", []), ("bob", []), ("carol", [keeper]))
            ]
            alice, bob, carol = (Participant(member, channel, env, transcript) for member in members)
            if finetune:
                await learn(alice, app, transcript, Actor(user_id=members[0].id), progress)
            else:
                await _conversation((alice, bob, carol), transcript, _mention(env.bot))
    except UnexpectedAnswerError as problem:
        transcript.write(f"\n**Not as expected:** {problem}")
        return False
    finally:
        transcript.save()
    progress(
        f"demo: all as expected, in {time.monotonic() - started:.0f} s; transcript and pictures in {transcript.folder}/"
    )
    return True


def _mention(bot: discord.Client) -> str:
    assert bot.user is not None  # noqa: S101 (it is logged in)
    return bot.user.mention


async def _conversation(
    actors: tuple[Participant, Participant, Participant], transcript: Transcript, mention: str
) -> None:
    alice, bob, carol = actors
    await _remember(alice, transcript)
    await _recognise(alice, bob, transcript, mention)
    await _talk(alice, transcript)
    await _keep_apart(alice, bob, transcript, mention)
    await _correct(bob, alice, transcript, mention)
    await _forget(alice, transcript, mention)
    await _take_away(alice, transcript)
    await _govern(carol, bob, transcript)


async def _remember(alice: Participant, transcript: Transcript) -> None:
    transcript.heading("Remember: one picture and a few words")
    said = await alice.slash(
        "remember",
        name=CAT,
        image=("cat.png", pictures.png(pictures.cat())),
        info="a tabby cat who hates the vacuum cleaner and loves tuna",
        category="cat",
    )
    expect(said, has=[f"remember .*{CAT}", "you alone"])
    said = await alice.slash(
        "remember",
        name=CUP,
        image=("cup.png", pictures.png(pictures.cup())),
        info="bought in Lisbon in 2019",
    )
    expect(said, has=[CUP])
    said = await alice.slash(
        "remember",
        name=MOTORCYCLE,
        image=("garage.png", pictures.png(pictures.motorcycle())),
        info="the club's motorcycle, the key hangs behind the door",
        share=True,
    )
    expect(said, has=[MOTORCYCLE, "everyone on this server"])


async def _recognise(alice: Participant, bob: Participant, transcript: Transcript, mention: str) -> None:
    transcript.heading("Recognise: two of them in a new picture")
    both = ("breakfast.png", pictures.png(pictures.cat_and_cup()))
    said = await alice.send(f"{mention} who is in this?", both)
    expect(said, has=[f"{CAT} .*left", f"{CUP} .*right"], lacks=[MOTORCYCLE])
    if len(said.pictures) != 1 and not said.is_free:
        raise UnexpectedAnswerError("The answer has no picture with boxes and names.")
    if f"right: {CAT}" in said.labels or not said.is_free:
        expect(await alice.click(said, f"right: {CAT}"), has=["Thanks"])
    reply = await alice.send(f"Is {CAT} in this picture?", reply_to=said.message)
    expect(reply, has=["^Yes", CAT])
    reply = await alice.send(f"And is {MOTORCYCLE} in this picture?", reply_to=said.message)
    expect(reply, has=["^No", MOTORCYCLE])

    transcript.heading("A stranger stays a stranger")
    said = await alice.send(f"{mention} who is this?", ("visitor.png", pictures.png(pictures.stranger())))
    expect(said, has=["don't recognise"], lacks=[CAT, CUP, MOTORCYCLE])


async def _talk(alice: Participant, transcript: Transcript) -> None:
    transcript.heading("Talk about what was told, without a picture")
    expect(await alice.slash("ask", question=f"What does {CAT} hate?"), has=["vacuum"], lacks=["thunder"])
    expect(await alice.slash("ask", question=f"When was {CUP} bought?"), has=["2019"])

    transcript.heading("Edit: the next answer knows")
    said = await alice.slash("edit", name=CAT, info="a tabby cat who hates thunderstorms and loves tuna")
    expect(said, has=["thunderstorms"])
    expect(await alice.slash("ask", question=f"What does {CAT} hate?"), has=["thunder"], lacks=["vacuum"])


async def _keep_apart(alice: Participant, bob: Participant, transcript: Transcript, mention: str) -> None:
    transcript.heading("What is Alice's is nobody else's")
    said = await bob.send(f"{mention} who is this?", ("a-cat.png", pictures.png(pictures.cat_again())))
    expect(said, has=["don't recognise"], never=[CAT])
    said = await bob.slash("ask", question=f"What do you know about {CAT}?")
    expect(said, has=["don't know"], never=["tuna", "tabby"])

    transcript.heading("What is shared, both know")
    garage = ("outing.png", pictures.png(pictures.motorcycle_again()))
    for actor in (bob, alice):
        said = await actor.send(f"{mention} what is this?", garage)
        expect(said, has=[MOTORCYCLE])


async def _correct(bob: Participant, alice: Participant, transcript: Transcript, mention: str) -> None:
    transcript.heading("Not them: it counts from the next picture on, for who said it")
    garage = ("outing.png", pictures.png(pictures.motorcycle_again()))
    said = await bob.slash("ask", question="What is this?", image=garage)
    expect(said, has=[MOTORCYCLE])
    if "not them" in said.labels or not said.is_free:
        expect(await bob.click(said, "not them"), has=["Sorry"])
    expect(await bob.send(f"{mention} what is this?", garage), has=["don't recognise"], lacks=[MOTORCYCLE])
    expect(await alice.send(f"{mention} what is this?", garage), has=[MOTORCYCLE])


async def _forget(alice: Participant, transcript: Transcript, mention: str) -> None:
    transcript.heading("Look through, forget, and think again")
    expect(await alice.slash("memories", find="lisbom"), has=[CUP, "Lisbon"], lacks=[CAT])
    gone = await alice.slash("forget", name=CAT)
    expect(gone, has=["forgotten", CAT])
    cat = ("cat-again.png", pictures.png(pictures.cat_again()))
    expect(await alice.send(f"{mention} who is this?", cat), has=["don't recognise"], lacks=[CAT])
    expect(await alice.click(gone, "undo"), has=[CAT, "is back"])
    expect(await alice.send(f"{mention} who is this?", cat), has=[CAT])


async def _take_away(alice: Participant, transcript: Transcript) -> None:
    transcript.heading("Take it all away, and bring it back")
    card = await alice.slash("privacy")
    expect(card, has=["2 concepts", "1 concept that you shared", "don't train"])
    exported = await alice.click(card, "Export everything")
    expect(exported, has=["everything I keep"])
    receipt = await alice.fill(card, "Delete everything…", word="DELETE")
    expect(receipt, has=["receipt", "2 × concept"])
    expect(await alice.slash("memories"), has=["Nothing here yet"], lacks=[CAT, CUP])
    plan = await alice.fill(card, "Import…", file=("keepsake.zip", exported.files["keepsake.zip"]))
    expect(plan, has=["2 concepts with 2 pictures would be new"])
    expect(await alice.click(plan, "Import"), has=["imported 2 concepts"])
    expect(await alice.slash("memories"), has=[CAT, CUP])


async def _govern(carol: Participant, bob: Participant, transcript: Transcript) -> None:
    transcript.heading("The admins of the server govern what is shared")
    card = await carol.slash("server memory")
    expect(card, has=["Who may share: everyone", "keep answers for 30 days"])
    expect(await carol.click(card, "Lock"), has=["locked"])
    cup = ("cup.png", pictures.png(pictures.cup()))
    expect(await bob.slash("remember", name="My cup", image=cup, share=True), has=["locked"])
    expect(await carol.click(card, "Who changed what"), has=["locked the memory", "removed"], lacks=[MOTORCYCLE])
