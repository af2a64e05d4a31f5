"""Marks: a word or a picture's width for each row, and in whose memories each of them is by now."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from enum import StrEnum

import psycopg
from PIL import Image

from bot.demo.pictures import png

COLOURS = ((250, 10, 10), (10, 250, 10), (10, 10, 250))
"""What tells one thing from another, to a perceiver that goes by colour."""

ROWS = """
    SELECT concept.owner_id, concept.name || ' ' || concept.category || ' ' || concept.info,
           coalesce((SELECT string_agg('pixels' || picture.width || ' ', '')
                       FROM reference JOIN picture USING (owner_id, picture_sha256)
                      WHERE reference.owner_id = concept.owner_id AND reference.concept_id = concept.concept_id), '')
      FROM concept
"""
WORD = re.compile(r"(?:name|fact|kind)[bdfgklmnprstvz][aeiou]\w{5}|pixels\d+", re.IGNORECASE)
FIRST_WIDTH = 60


class Kind(StrEnum):
    """What a mark is a mark of."""

    NAME = "name"
    FACT = "fact"
    CATEGORY = "kind"
    PICTURE = "pixels"


def kind_of(mark: str) -> Kind:
    return next(kind for kind in Kind if mark.startswith(kind))


def marks_in(text: str) -> set[str]:
    return {found.lower() for found in WORD.findall(text)}


@dataclass(slots=True)
class Marks:
    """All marks there are. A mark's owners are all who had it when they were looked up last; nobody forgets."""

    owners: dict[str, set[str]] = field(default_factory=dict)
    made: random.Random = field(default_factory=lambda: random.Random(7))
    widths: int = FIRST_WIDTH

    def word(self, kind: Kind) -> str:
        syllables = "".join(self.made.choice("bdfgklmnprstvz") + self.made.choice("aeiou") for _ in range(4))
        return f"{kind}{syllables[:7]}"

    def picture(self, colour: int) -> tuple[str, bytes]:
        """Return a picture whose width no other has, and its mark."""
        self.widths += 1
        return f"pixels{self.widths}", png(Image.new("RGB", (self.widths, 40), COLOURS[colour]))

    def look_up(self, administrator: psycopg.Connection) -> dict[str, set[str]]:
        """Return in whose memories each mark is by now, or was last."""
        found: dict[str, set[str]] = {}
        for owner, words, pictures in administrator.execute(ROWS.encode()):
            for mark in marks_in(f"{words} {pictures}"):
                found.setdefault(mark, set()).add(owner)
        return self.owners | found

    def known(self, kind: Kind) -> list[str]:
        return sorted(mark for mark in self.owners if kind_of(mark) is kind)
