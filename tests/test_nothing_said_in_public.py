"""Nothing of a private memory is read by a second person, unless its owner's own present message allowed it.

Random acts of three people on two servers: they remember, ask, reply to anybody, forward, edit, delete, press each
other's buttons, open cards, govern and are demoted. The bot, the database and the simulated Discord are the real ones
of the stories; the model is one that says everything it is told.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import discord
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from bot.cogs import addressing
from bot.service import ask, audience, conversation, retrieval
from bot.ui import feedback_buttons
from bot.ui.stream import InResponse
from db.types import InPublic
from tests.support.leaks.world import Leak
from tests.support.overheard.marks import Kind
from tests.support.overheard.stage import LONG, Stage, stage_on
from tests.support.overheard.talkers import WAYS, Talkers

pytestmark = pytest.mark.slow

SEED, EXAMPLES, STEPS = 1, 7, 70
LEAST_OF_A_WAY = 3


@pytest.fixture
def stage(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with stage_on(database_url, monkeypatch) as built:
        Talkers.stage, Talkers.counts = built, Counter()
        yield built


def run() -> None:
    run_state_machine_as_test(
        seed(SEED)(Talkers),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # as in test_no_leaks.py
        ),
    )


def test_random_talk_gives_nothing_away(stage: Stage) -> None:
    run()
    of_interest = {*WAYS, "press known", "press back", "taken back", "name in public", "fact in public", "fact alone"}
    assert {name: Talkers.counts[name] for name in of_interest if Talkers.counts[name] < LEAST_OF_A_WAY} == {}


# What the machine would notice. Its random acts find each of these, too, but some only after a minute.


def talk(people: Talkers) -> None:
    """Say and press, in few acts, what each of the mistakes below gives something away at."""
    people.know("alice", "pictures", 0, share=False)
    [name], [fact] = people.marks.known(Kind.NAME), people.marks.known(Kind.FACT)
    people.say("alice", "pictures", f"{people.mention_of_bot} who is {name}?")
    people.say("alice", "pictures", f"{people.mention_of_bot} who is {fact}?")
    people.say("alice", "pictures", f"{people.mention_of_bot} who is this?", 0)
    answer = people.in_channel("pictures")[-1]
    people.say("bob", "pictures", "stop it", target=answer, asks=False)
    people.say("bob", "pictures", f"{people.mention_of_bot} and I?", target=answer)
    people.press_button("alice", "pictures", answer, "keepsake:known")
    people.press_button("bob", "pictures", answer, "keepsake:known")
    people.ask_by_command("alice", "pictures", f"who is {name}? {LONG}", show=False)
    people.choose("alice", InPublic.NOTHING)
    people.say("alice", "pictures", f"{people.mention_of_bot} who is this?", 0)
    people.press_button("alice", "pictures", answer, "keepsake:back")


def everybody_is_alone(patch: pytest.MonkeyPatch) -> None:
    for module in (ask, audience):
        patch.setattr(module, "says_all", lambda audience, in_public: True)


def names_come_with_all_that_is_known(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(audience, "_named", lambda concept: concept)


def nothing_is_said_to_be_withheld(patch: pytest.MonkeyPatch) -> None:
    heard_by = audience.heard_by
    patch.setattr(ask, "heard_by", lambda *given: dataclasses.replace(heard_by(*given), withheld=()))


def no_choice_is_names(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(audience, "_without", lambda result, withheld: result)


def a_long_answer_goes_on_in_public(patch: pytest.MonkeyPatch) -> None:
    add = InResponse.add

    async def adding(place: Any, *given: Any) -> None:
        place._ephemeral = False
        await add(place, *given)

    patch.setattr(InResponse, "add", adding)


def every_ancestor_is_the_conversation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(addressing, "own_exchange", lambda author, me, chain, questions: list(chain))


def every_reply_is_meant(patch: pytest.MonkeyPatch) -> None:
    async def is_answer_to(*given: Any) -> bool:
        return True

    patch.setattr(conversation, "is_answer_to", is_answer_to)


def every_mention_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(addressing, "mentions", lambda message, me: me.id in {user.id for user in message.mentions})


def a_secret_may_be_asked_for_by_its_words(patch: pytest.MonkeyPatch) -> None:
    recall = retrieval.recall

    async def recalling(*given: Any, **more: Any) -> Any:
        return await recall(*given, **more | {"says_all": True})

    patch.setattr(retrieval, "recall", recalling)


def answers_are_never_taken_back(patch: pytest.MonkeyPatch) -> None:
    async def delete_messages(*given: Any) -> None:
        return

    patch.setattr(feedback_buttons, "delete_messages", delete_messages)


def what_i_know_is_shown_to_all(patch: pytest.MonkeyPatch) -> None:
    defer = discord.InteractionResponse.defer
    patch.setattr(
        discord.InteractionResponse,
        "defer",
        lambda response, **given: defer(response, thinking=True) if given.get("thinking") else defer(response),
    )


Mistake = Callable[[pytest.MonkeyPatch], None]
MISTAKES: tuple[Mistake, ...] = (
    everybody_is_alone,
    names_come_with_all_that_is_known,
    nothing_is_said_to_be_withheld,
    no_choice_is_names,
    a_long_answer_goes_on_in_public,
    every_ancestor_is_the_conversation,
    every_reply_is_meant,
    every_mention_counts,
    a_secret_may_be_asked_for_by_its_words,
    answers_are_never_taken_back,
    what_i_know_is_shown_to_all,
)


def test_such_talk_gives_nothing_away(stage: Stage) -> None:
    people = Talkers()
    talk(people)
    people.teardown()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(mistake: Mistake, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    mistake(monkeypatch)
    people = Talkers()
    with pytest.raises(Leak):
        talk(people)
    people.teardown()
