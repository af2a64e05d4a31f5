-- Where a picture comes from: its keeper uploaded it, or it was taken from somebody's message. Of what was there before
-- nobody knows; it counts as uploaded.

ALTER TABLE reference
    ADD COLUMN origin         text NOT NULL DEFAULT 'upload' CHECK (origin IN ('upload', 'message')),
    ADD COLUMN source_author  bigint,
    ADD COLUMN source_message bigint,
    ADD CHECK (origin = 'message' OR (source_author IS NULL AND source_message IS NULL));
CREATE INDEX reference_by_source ON reference (source_author) WHERE source_author IS NOT NULL;

ALTER TABLE answer
    ADD COLUMN origin         text NOT NULL DEFAULT 'upload' CHECK (origin IN ('upload', 'message')),
    ADD COLUMN source_author  bigint,
    ADD COLUMN source_message bigint,
    ADD CHECK (origin = 'message' OR (source_author IS NULL AND source_message IS NULL));
CREATE INDEX answer_by_source ON answer (source_author) WHERE source_author IS NOT NULL;

ALTER TABLE set_aside ADD COLUMN sources jsonb NOT NULL GENERATED ALWAYS AS (
    jsonb_path_query_array(snapshot, '$.reference[*].source_author')) STORED;

-- Erasing finds, in everybody's memory, the pictures of messages that its viewer wrote.
CREATE POLICY from_me_to_erase ON reference FOR SELECT USING (keepsake_erases() AND source_author = keepsake_me());
CREATE POLICY from_me_to_erase ON answer FOR SELECT USING (keepsake_erases() AND source_author = keepsake_me());
CREATE POLICY from_me_to_erase ON set_aside FOR SELECT
    USING (keepsake_erases() AND sources @> to_jsonb(keepsake_me()));

-- Nobody keeps a picture of a message whose author objected; they themselves may.
CREATE FUNCTION keepsake_check_source() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('keepsake person ' || NEW.source_author, 0));
    IF EXISTS (SELECT FROM objection WHERE user_id = NEW.source_author) THEN
        RAISE EXCEPTION 'the author objected' USING ERRCODE = 'KS002';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER check_source BEFORE INSERT ON reference FOR EACH ROW
    WHEN (NEW.source_author IS NOT NULL AND NEW.owner_id <> 'user:' || NEW.source_author)
    EXECUTE FUNCTION keepsake_check_source();
