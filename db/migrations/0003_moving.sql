-- Changing packs: which embeddings an owner's recall goes by, and what is still to be made until it goes by others.

CREATE TABLE embedding_use (
    owner_id     owner_id    NOT NULL PRIMARY KEY,
    embedding_id text        NOT NULL CHECK (embedding_id <> ''),
    since        timestamptz NOT NULL DEFAULT now(),
    missing      integer     NOT NULL DEFAULT 0  -- references without the embedding they should have, last counted
);
SELECT keepsake_protect('embedding_use');

-- Moving goes from memory to memory: it sees whose are where, and nothing of what is in them.
CREATE POLICY moves_are_listed ON embedding_use FOR SELECT USING (keepsake_takes_care());

-- An owner's first embedding says which they go by. One of another kind (copied from a memory that is elsewhere, made
-- by a bot that has another pack) says that somebody has to look what is missing.
CREATE FUNCTION keepsake_note_embedding() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO embedding_use (owner_id, embedding_id) VALUES (NEW.owner_id, NEW.embedding_id)
    ON CONFLICT (owner_id) DO UPDATE SET missing = 1
     WHERE embedding_use.embedding_id <> excluded.embedding_id AND embedding_use.missing = 0;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_embedding AFTER INSERT ON embedding FOR EACH ROW EXECUTE FUNCTION keepsake_note_embedding();

-- Those that are there already. Row-level security binds the owner of a table, too, unless told not to.
ALTER TABLE embedding NO FORCE ROW LEVEL SECURITY;
ALTER TABLE embedding_use NO FORCE ROW LEVEL SECURITY;
INSERT INTO embedding_use (owner_id, embedding_id)
SELECT DISTINCT ON (owner_id) owner_id, embedding_id
  FROM embedding
 GROUP BY owner_id, embedding_id
 ORDER BY owner_id, count(*) DESC, embedding_id;
ALTER TABLE embedding_use FORCE ROW LEVEL SECURITY;
ALTER TABLE embedding FORCE ROW LEVEL SECURITY;
