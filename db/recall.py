"""Recall: which of the viewer's concepts are named in a text, and which are in the regions of a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import asyncpg

from db.concepts import CONCEPT_COLUMNS, concept_from, owners
from db.geometry import share_of_smaller
from db.names import is_common, name_key, place_of
from db.persons import SAID
from db.types import Calibration, Concept, Match, Region, RetrievalResult, Viewer

NAMED_IN = f"""
    SELECT {CONCEPT_COLUMNS}
      FROM concept
     WHERE owner_id = ANY ($1::text[]) AND strpos($2, name_key) > 0 AND {SAID}
     ORDER BY array_position($1::text[], owner_id::text), strpos($2, name_key), char_length(name_key) DESC
"""  # noqa: S608 (made of constants)

# Exact search: every region against every embedding the viewer may see, of owners whose memory goes by embeddings of
# this kind (while packs are changed, one may go by another than the next). A reference counts for its concept, and
# so does a region of which this viewer said "right", while the concept isn't forgotten. Where a region is more like one
# of which the viewer said "not them" than like any reference, it isn't them. Then each region keeps its best concept,
# and each concept its best region. (A shared copy has the id of the user's own concept: of the two, their own is
# shown.)
RECOGNISED_IN = f"""
    WITH region AS MATERIALIZED (
        SELECT (given.place - 1)::int AS region, given.vector::halfvec AS vector
          FROM unnest($3::text[]) WITH ORDINALITY AS given (vector, place)
    ), remembering AS MATERIALIZED (
        SELECT array_agg(owner_id::text) AS owners
          FROM embedding_use
         WHERE owner_id = ANY ($1::text[]) AND embedding_id = $2
    ), known AS MATERIALIZED (
        SELECT owner_id, concept_id, vector, true AS is_them
          FROM embedding
         WHERE owner_id = ANY ((SELECT owners FROM remembering)::text[]) AND embedding_id = $2
        UNION ALL
        SELECT concept_owner_id, concept_id, vector, verdict = 'right'
          FROM correction
         WHERE owner_id = $4 AND embedding_id = $2
           AND concept_owner_id = ANY ((SELECT owners FROM remembering)::text[])
           AND EXISTS (SELECT FROM concept
                        WHERE concept.owner_id = concept_owner_id AND concept.concept_id = correction.concept_id)
    ), likeness AS (
        SELECT region.region, known.owner_id, known.concept_id,
               max(-(region.vector <#> known.vector)) FILTER (WHERE known.is_them) AS similarity,
               max(-(region.vector <#> known.vector)) FILTER (WHERE NOT known.is_them) AS unlike
          FROM region CROSS JOIN known
         GROUP BY region.region, known.owner_id, known.concept_id
    ), best_of_region AS (
        SELECT DISTINCT ON (region) region, owner_id, concept_id, similarity
          FROM likeness
         WHERE similarity > coalesce(unlike, -1)
         ORDER BY region, similarity DESC, array_position($1::text[], owner_id::text), concept_id
    ), best_of_concept AS (
        SELECT DISTINCT ON (concept_id) region, owner_id, concept_id, similarity
          FROM best_of_region
         ORDER BY concept_id, similarity DESC, array_position($1::text[], owner_id::text), region
    )
    SELECT best_of_concept.region, best_of_concept.similarity, {CONCEPT_COLUMNS}
      FROM best_of_concept
      JOIN concept ON concept.owner_id = best_of_concept.owner_id
                  AND concept.concept_id = best_of_concept.concept_id
     WHERE best_of_concept.similarity >= $5 AND {SAID}
     ORDER BY best_of_concept.similarity DESC, concept.name_key
"""  # noqa: S608 (made of constants)

OVERLAP = 0.7
"""Of two recognitions, one of which lies in the other by this share of its area, the less probable goes."""


class Detections(Protocol):
    """What one embedder saw in a picture: `model_worker.api.protocol.Perception`."""

    @property
    def regions(self) -> Sequence[Region]: ...  # noqa: D102
    @property
    def calibration(self) -> Calibration: ...  # noqa: D102


async def recall(
    connection: asyncpg.Connection, viewer: Viewer, sights: Sequence[Detections], text: str = ""
) -> RetrievalResult:
    """Return the viewer's concepts that a text names, and those that are in the regions of a picture.

    Names come first, as in RAP (section 3.2); unlike there, what isn't probable enough is left out.

    Parameters
    ----------
    connection : asyncpg.Connection
        Of `db.pool.viewing` for this very viewer.
    viewer : Viewer
        Whose own memory, and whose current server's, is searched.
    sights : Sequence[Detections]
        What a picture shows: usually one; one an embedder while packs are changed; none without a picture.
    text : str
        What was asked.

    Returns
    -------
    RetrievalResult
        ``mentioned`` in the order of the text, ``recognised`` the most probable first; their ``region`` counts
        through the regions of all sights.

    """
    return RetrievalResult(
        await mentioned_in(connection, viewer, text),
        await _recognised_in_all(connection, viewer, sights),
    )


async def mentioned_in(connection: asyncpg.Connection, viewer: Viewer, text: str) -> tuple[Concept, ...]:
    """Return the concepts that a text names: the viewer's own, in the text's order, then the server's in what is left.

    A name that is nothing but a word of talk names nobody.
    """
    spoken = name_key(text.encode("utf-8", "ignore").decode().replace("\x00", " "))
    if not spoken:
        return ()
    rows = await connection.fetch(NAMED_IN, owners(viewer), spoken)
    found: dict[str, Concept] = {}
    for row in rows:
        concept = concept_from(row)
        key = name_key(concept.name)
        place = place_of(key, spoken)
        if place is not None and key not in found and not is_common(key):
            found[key] = concept
            spoken = spoken[:place] + "\n" * len(key) + spoken[place + len(key) :]
    return tuple(found.values())


async def _recognised_in_all(
    connection: asyncpg.Connection, viewer: Viewer, sights: Sequence[Detections]
) -> tuple[Match, ...]:
    found: list[Match] = []
    before = 0
    for sight in sights:
        recognised = await recognised_in(connection, viewer, sight.regions, sight.calibration)
        found += [replace(match, region=match.region + before) for match in recognised]
        before += len(sight.regions)
    return _apart(sorted(found, key=lambda match: -match.probability)) if len(sights) > 1 else tuple(found)


async def recognised_in(
    connection: asyncpg.Connection, viewer: Viewer, regions: Sequence[Region], calibration: Calibration
) -> tuple[Match, ...]:
    """Return which concepts are in these regions: one region a concept, one concept a region."""
    if not regions:
        return ()
    rows = await connection.fetch(
        RECOGNISED_IN,
        owners(viewer),
        calibration.embedding_id,
        [_as_text(region) for region in regions],
        viewer.personal,
        _least_similarity(calibration),
    )
    return _apart(
        Match(
            concept=concept_from(row),
            region=row["region"],
            box=regions[row["region"]].box,
            similarity=row["similarity"],
            probability=match_probability(row["similarity"], calibration),
        )
        for row in rows
    )


def _apart(ordered: Iterable[Match]) -> tuple[Match, ...]:
    """Return the recognitions without those of a place, or a concept, that a better one has."""
    kept: list[Match] = []
    for match in ordered:
        if all(
            match.concept.concept_id != other.concept.concept_id and share_of_smaller(match.box, other.box) < OVERLAP
            for other in kept
        ):
            kept.append(match)
    return tuple(kept)


def match_probability(similarity: float, calibration: Calibration) -> float:
    """Return how probable it is that a region of this similarity is the concept."""
    return 1 / (1 + math.exp(-(calibration.slope * similarity + calibration.offset)))


def _least_similarity(calibration: Calibration) -> float:
    threshold = calibration.threshold
    return (math.log(threshold / (1 - threshold)) - calibration.offset) / calibration.slope


def _as_text(region: Region) -> str:
    """Write an embedding as pgvector reads it; asyncpg has no codec for arrays of vectors."""
    return "[" + ",".join(f"{value:.5g}" for value in region.embedding.tolist()) + "]"
