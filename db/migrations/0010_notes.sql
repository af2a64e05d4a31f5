-- What is known of a concept is notes, each with who said it and when. concept.info is their texts, joined: it follows
-- the notes, so that a search finds it without them.

CREATE TABLE note (
    owner_id     owner_id    NOT NULL,
    note_id      uuid        NOT NULL DEFAULT gen_random_uuid(),
    concept_id   uuid        NOT NULL,
    place        integer     NOT NULL,  -- among the notes of its concept
    text         text        NOT NULL CHECK (text <> ''),
    author       bigint      NOT NULL,
    said_at      timestamptz NOT NULL DEFAULT now(),
    meant_at     timestamptz,           -- when it is about, where that is another time
    said_server  bigint,
    said_channel bigint,
    PRIMARY KEY (owner_id, note_id),
    FOREIGN KEY (owner_id, concept_id) REFERENCES concept (owner_id, concept_id) ON DELETE CASCADE
);
CREATE INDEX note_of_concept ON note (owner_id, concept_id, place);
CREATE INDEX note_by_author ON note (author);
SELECT keepsake_protect('note');

-- Erasing finds what its viewer said, in everybody's memory.
CREATE POLICY mine_to_erase ON note FOR SELECT USING (keepsake_erases() AND author = keepsake_me());

-- So it does what they showed, also where somebody took a shared concept into their own.
DROP POLICY mine_to_erase ON reference;
CREATE POLICY mine_to_erase ON reference FOR SELECT USING (keepsake_erases() AND created_by = keepsake_me());

-- What was known before was said by who remembered the concept; row-level security binds a table's owner, too, unless
-- told not to.
ALTER TABLE concept NO FORCE ROW LEVEL SECURITY;
ALTER TABLE note NO FORCE ROW LEVEL SECURITY;
ALTER TABLE set_aside NO FORCE ROW LEVEL SECURITY;
INSERT INTO note (owner_id, concept_id, place, text, author, said_at, said_server, said_channel)
SELECT owner_id, concept_id, 0, info, created_by, created_at, learned_server, learned_channel
  FROM concept
 WHERE info <> '';
UPDATE set_aside
   SET snapshot = snapshot || jsonb_build_object('note', CASE
           WHEN snapshot -> 'concept' ->> 'info' = '' THEN '[]'
           ELSE jsonb_build_array(jsonb_build_object(
               'note_id', gen_random_uuid(), 'concept_id', snapshot -> 'concept' -> 'concept_id', 'place', 0,
               'text', snapshot -> 'concept' -> 'info', 'author', snapshot -> 'concept' -> 'created_by',
               'said_at', snapshot -> 'concept' -> 'created_at',
               'said_server', snapshot -> 'concept' -> 'learned_server',
               'said_channel', snapshot -> 'concept' -> 'learned_channel')) END);
ALTER TABLE set_aside FORCE ROW LEVEL SECURITY;
ALTER TABLE note FORCE ROW LEVEL SECURITY;
ALTER TABLE concept FORCE ROW LEVEL SECURITY;

-- What is set aside names who said something, too.
DROP POLICY mine_to_erase ON set_aside;
ALTER TABLE set_aside DROP COLUMN people;
ALTER TABLE set_aside ADD COLUMN people jsonb NOT NULL GENERATED ALWAYS AS (
    jsonb_path_query_array(snapshot, '$.concept.created_by')
    || jsonb_path_query_array(snapshot, '$.concept.linked_user')
    || jsonb_path_query_array(snapshot, '$.reference[*].created_by')
    || jsonb_path_query_array(snapshot, '$.note[*].author')) STORED;
CREATE POLICY mine_to_erase ON set_aside FOR SELECT
    USING (keepsake_erases()
           AND (people @> to_jsonb(keepsake_me())
                OR (owner_id LIKE 'server:%' AND (set_by = keepsake_me() OR linked_user = keepsake_me()))));

-- concept.info follows the notes, whichever way they change.
CREATE FUNCTION keepsake_join_notes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    row note := coalesce(NEW, OLD);
    joined text := coalesce((SELECT string_agg(note.text, E'\n' ORDER BY note.place, note.note_id)
                               FROM note
                              WHERE note.owner_id = row.owner_id AND note.concept_id = row.concept_id), '');
BEGIN
    UPDATE concept SET info = joined
     WHERE concept.owner_id = row.owner_id AND concept.concept_id = row.concept_id AND concept.info <> joined;
    RETURN NULL;
END
$$;
CREATE TRIGGER join_notes AFTER INSERT OR UPDATE OR DELETE ON note
    FOR EACH ROW EXECUTE FUNCTION keepsake_join_notes();

-- What was learned from a note goes with it, as it does with a concept and a picture.
CREATE FUNCTION keepsake_unlearn_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM adapter WHERE adapter.owner_id = OLD.owner_id AND OLD.note_id = ANY (adapter.saw);
    PERFORM keepsake_withdraw_runs(OLD.owner_id, OLD.said_at);
    RETURN NULL;
END
$$;
CREATE TRIGGER unlearn AFTER DELETE ON note FOR EACH ROW EXECUTE FUNCTION keepsake_unlearn_note();
