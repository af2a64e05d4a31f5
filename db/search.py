"""Looking through a memory: by page, by category, and by words, with room for typing errors."""

from __future__ import annotations

import re
from collections.abc import Sequence

import asyncpg

from db.concepts import CONCEPT_COLUMNS, concept_from
from db.persons import SAID
from db.types import Concept, OwnerId

LONGEST_SEARCH = 12
"""Words."""

NO_WORD = "?"
"""What is searched for when there are no words in a search: it finds nothing."""

TALK = frozenset(
    {
        *("say", "said", "says", "tell", "told", "know", "knows", "known", "remember", "remembered", "think", "mean"),
        *("call", "called", "show", "ask", "asked", "like", "likes", "love", "loves", "hate", "hates", "want", "wants"),
        *("get", "got", "make", "thing", "things", "someone", "anybody", "anyone", "picture", "photo", "image"),
    }
)
"""Words of a question that are no evidence of what it is about."""

# A word counts fully where the text has it in any of its forms, partly where it has one that is spelt nearly so.
SCORED = f"""
    SELECT {CONCEPT_COLUMNS}, found.score
      FROM concept
      CROSS JOIN LATERAL (
          SELECT avg(CASE WHEN concept.words @@ plainto_tsquery('english', asked.word)
                            OR concept.words @@ plainto_tsquery('simple', asked.word) THEN 1.0
                          WHEN char_length(asked.word) > 3 AND alike.likeness >= 0.5 THEN alike.likeness
                          ELSE 0.0 END)::float8 AS score
            FROM unnest($2::text[]) AS asked (word)
            CROSS JOIN LATERAL (
                SELECT strict_word_similarity(
                    asked.word, concept.name || ' ' || concept.category || ' ' || concept.info
                ) AS likeness) AS alike
      ) AS found
     WHERE concept.owner_id = ANY ($1::text[])
       AND ($3 = '' OR lower(concept.category) = lower($3))
       AND (cardinality($2::text[]) = 0 OR found.score >= $4)
       AND ($7 OR {SAID})
     ORDER BY found.score DESC NULLS LAST, concept.name_key, array_position($1::text[], concept.owner_id::text)
     LIMIT $5 OFFSET $6
"""  # noqa: S608 (made of constants)

WITHOUT_STOP_WORDS = """
    SELECT word
      FROM unnest($1::text[]) WITH ORDINALITY AS given (word, place)
     WHERE numnode(plainto_tsquery('english', word)) > 0
     ORDER BY place
"""

CATEGORIES = """
    SELECT min(category) AS category
      FROM concept
     WHERE owner_id = ANY ($1::text[]) AND category <> ''
     GROUP BY lower(category)
     ORDER BY count(*) DESC, min(category)
     LIMIT $2
"""

PARTLY = 0.2
"""Of the words searched for, what a find has to have at least."""

MOSTLY = 0.5
"""Of a question's words, what a concept has to have for the question to be about it."""


async def browse(
    connection: asyncpg.Connection,
    owner_ids: Sequence[OwnerId],
    *,
    search: str = "",
    category: str = "",
    limit: int = 100,
    offset: int = 0,
) -> list[Concept]:
    """Return a page of these owners' concepts: by name, or, for a search, the best finds first."""
    words = await _content_words(connection, search)
    if search.strip() and not words:
        words = _words(search)[:LONGEST_SEARCH] or [NO_WORD]
    rows = await connection.fetch(SCORED, owner_ids, words, category, PARTLY, limit, offset, True)
    return [concept_from(row) for row in rows]


async def about(
    connection: asyncpg.Connection, owner_ids: Sequence[OwnerId], question: str, limit: int = 3
) -> tuple[Concept, ...]:
    """Return the concepts that a question seems to be about by the words of their name, category or info.

    For questions that name nobody: “what did I say about the blue bike?”
    """
    words = [word for word in await _content_words(connection, question) if word not in TALK]
    if not words:
        return ()
    rows = await connection.fetch(SCORED, owner_ids, words, "", MOSTLY, limit, 0, False)
    best = rows[0]["score"] if rows else 0
    return tuple(concept_from(row) for row in rows if row["score"] >= 0.8 * best)


async def categories(connection: asyncpg.Connection, owner_ids: Sequence[OwnerId], limit: int = 24) -> list[str]:
    """Return the categories in these owners' memories, the most used first."""
    return [row["category"] for row in await connection.fetch(CATEGORIES, owner_ids, limit)]


async def _content_words(connection: asyncpg.Connection, text: str) -> list[str]:
    rows = await connection.fetch(WITHOUT_STOP_WORDS, _words(text))
    return [row["word"] for row in rows][:LONGEST_SEARCH]


def _words(text: str) -> list[str]:
    readable = text.encode("utf-8", "ignore").decode().lower()
    return list(dict.fromkeys(re.findall(r"\w+", readable)))[:100]
