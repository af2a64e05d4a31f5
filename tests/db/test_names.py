"""What may be a name, and when two spellings are one."""

from __future__ import annotations

import pytest

from db.names import (
    AngleBracketsError,
    ControlCharactersError,
    InvalidTextError,
    InvisibleTextError,
    NotForSharingError,
    PingsManyError,
    SeveralLinesError,
    TextField,
    TextTooLongError,
    check_category,
    check_info,
    check_name,
    check_shared_name,
    name_key,
)


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("Mochi", "Mochi"),
        ("  Tante   Inge ", "Tante Inge"),
        ("Amélie", "Amélie"),
        ("e\u0301", "é"),
        ("小春", "小春"),
        ("شیرین", "شیرین"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("Mo\u200bchi\u202e", "Mochi"),
        ("x" * 64, "x" * 64),
        ("R2-D2", "R2-D2"),
    ],
)
def test_names_of_any_script(given: str, cleaned: str) -> None:
    assert check_name(given) == cleaned
    assert check_name(cleaned) == cleaned


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("", InvisibleTextError),
        ("   ", InvisibleTextError),
        ("\u200b\u200d", InvisibleTextError),
        ("\u3164", InvisibleTextError),
        ("\u0301", InvisibleTextError),
        ("x" * 65, TextTooLongError),
        ("two\nlines", SeveralLinesError),
        ("two\u2028lines", SeveralLinesError),
        ("bell\x07", ControlCharactersError),
        ("nul\x00", ControlCharactersError),
        ("half\ud83d", ControlCharactersError),
        ("<image>", AngleBracketsError),
        ("<@1234>", AngleBracketsError),
        ("＜image＞", AngleBracketsError),
        ("@everyone", PingsManyError),
        ("hi @HERE", PingsManyError),
        ("@\u200beveryone", PingsManyError),
        ("＠everyone", PingsManyError),
    ],
)
def test_names_that_cannot_be(given: str, error: type[InvalidTextError]) -> None:
    with pytest.raises(error) as raised:
        check_name(given)
    assert raised.value.field is TextField.NAME


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Mochi", "mOCHI"),
        ("Strauß", "STRAUSS"),
        ("IŞIK", "ışık"),
        ("İzmir", "izmir"),
        ("I\u0307zmir", "İZMİR"),
        ("Ame\u0301lie", "AMÉLIE"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
        ("Ｍｏｃｈｉ", "Mochi"),
        ("Mo\u200dchi", "Mochi"),
        ("ŉ", "ʼN"),
    ],
)
def test_one_name_in_two_spellings(name: str, other: str) -> None:
    assert name_key(name) == name_key(other)


@pytest.mark.parametrize(("name", "other"), [("Mochi", "Mocha"), ("Amelie", "Amélie"), ("小春", "小夏")])
def test_two_names(name: str, other: str) -> None:
    assert name_key(name) != name_key(other)


def test_info_and_category() -> None:
    assert check_info(" Likes tuna.\r\nHates baths.\x00 ") == "Likes tuna.\nHates baths."
    assert check_info("") == check_category("") == ""
    assert check_category(" stuffed  toy ") == "stuffed toy"
    with pytest.raises(TextTooLongError) as info:
        check_info("x" * 1001)
    assert (info.value.field, info.value.length, info.value.max_length) == (TextField.INFO, 1001, 1000)
    with pytest.raises(TextTooLongError) as category:
        check_category("x" * 65)
    assert (category.value.field, category.value.length, category.value.max_length) == (TextField.CATEGORY, 65, 64)


@pytest.mark.parametrize(
    "name",
    [
        "the",
        "Me",
        "IS",
        "who",
        "Who is",
        "der",
        "quién es",
        "que",
        "кто",
        "https://evil.example",
        "www.evil",
        "evil.com",
    ]
    + ["discord.gg/abc", "Discord.com", "@mods", "ＷＷＷ.evil"],
)
def test_names_that_would_turn_up_in_everybodys_talk_or_lead_elsewhere_are_not_shared(name: str) -> None:
    with pytest.raises(NotForSharingError):
        check_shared_name(name)


@pytest.mark.parametrize("name", ["Mochi", "The good cup", "小春", "👩\u200d🚀", "R2-D2", "St. Anna", "Will"])
def test_other_names_may_be_shared(name: str) -> None:
    check_shared_name(name)
