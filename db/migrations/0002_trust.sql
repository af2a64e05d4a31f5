-- What makes a memory one that people can trust: undo, sharing with rules, an audit log, consent, objections,
-- limits that survive a restart, and words to search by.

CREATE EXTENSION IF NOT EXISTS pg_trgm;  -- a trusted extension: any administrator of the database may create it

-- Who acts, as a number; NULL when nobody does.
CREATE FUNCTION keepsake_me() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT nullif(split_part(current_setting('keepsake.personal', true), ':', 2), '')::bigint
$$;

-- A transaction may say that it erases what is its viewer's, or that it takes care of what is due.
CREATE FUNCTION keepsake_erases() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('keepsake.erasing', true), '') = 'on'
$$;
CREATE FUNCTION keepsake_takes_care() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('keepsake.caretaker', true), '') = 'on'
$$;

ALTER TABLE concept
    ADD COLUMN linked_user     bigint,  -- the Discord account of the person this is, if its owner said so
    ADD COLUMN learned_server  bigint,  -- where it was remembered
    ADD COLUMN learned_channel bigint,
    ADD COLUMN words tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', name) || to_tsvector('simple', name), 'A')
        || setweight(to_tsvector('english', category) || to_tsvector('simple', category), 'B')
        || setweight(to_tsvector('english', info) || to_tsvector('simple', info), 'C')) STORED;

-- Merging moves references, with their embeddings, from one concept to another.
ALTER TABLE embedding DROP CONSTRAINT embedding_owner_id_concept_id_reference_id_fkey;
ALTER TABLE embedding ADD CONSTRAINT embedding_of_reference
    FOREIGN KEY (owner_id, concept_id, reference_id)
    REFERENCES reference (owner_id, concept_id, reference_id) ON UPDATE CASCADE ON DELETE CASCADE;

-- A concept with all that belongs to it, out of the way of recall: forgotten for as long as it can be undone, or
-- proposed to a server's memory and waiting for its admins.
CREATE TABLE set_aside (
    owner_id     owner_id    NOT NULL,
    set_aside_id uuid        NOT NULL DEFAULT gen_random_uuid(),
    why          text        NOT NULL CHECK (why IN ('forgotten', 'proposed')),
    name         text        NOT NULL,
    linked_user  bigint,
    snapshot     jsonb       NOT NULL,  -- rows of concept, reference, embedding, picture and correction
    set_by       bigint      NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (owner_id, set_aside_id)
);
CREATE INDEX set_aside_by_age ON set_aside (expires_at);

-- How the admins of a server govern its memory; a server without a row has the defaults.
CREATE TABLE server (
    owner_id         owner_id    NOT NULL PRIMARY KEY CHECK (owner_id LIKE 'server:%'),
    who_may_share    text        NOT NULL DEFAULT 'everyone' CHECK (who_may_share IN ('everyone', 'roles', 'admins')),
    sharing_roles    bigint[]    NOT NULL DEFAULT '{}',
    needs_approval   boolean     NOT NULL DEFAULT false,
    allowed_channels bigint[]    NOT NULL DEFAULT '{}',  -- empty: all
    denied_channels  bigint[]    NOT NULL DEFAULT '{}',
    most_of_member   integer     NOT NULL DEFAULT 100 CHECK (most_of_member BETWEEN 0 AND 1000),
    most_of_server   integer     NOT NULL DEFAULT 1000 CHECK (most_of_server BETWEEN 0 AND 10000),
    retention_days   integer     NOT NULL DEFAULT 30 CHECK (retention_days BETWEEN 0 AND 365),
    locked           boolean     NOT NULL DEFAULT false,
    left_at          timestamptz                         -- when the bot was removed from it
);

CREATE TABLE audit (
    owner_id   owner_id    NOT NULL CHECK (owner_id LIKE 'server:%'),
    audit_id   bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      bigint      NOT NULL,  -- 0: the bot itself, or somebody who took their data away
    action     text        NOT NULL,
    concept_id uuid,
    subject    text        NOT NULL DEFAULT '',
    PRIMARY KEY (owner_id, audit_id)
);

-- Members who shared something and are gone: what they shared goes, too, unless they come back in time.
CREATE TABLE departure (
    owner_id owner_id    NOT NULL CHECK (owner_id LIKE 'server:%'),
    user_id  bigint      NOT NULL,
    since    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, user_id)
);

CREATE TABLE person (
    owner_id   owner_id    NOT NULL PRIMARY KEY CHECK (owner_id LIKE 'user:%'),
    may_train  boolean     NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- The generic cell rate algorithm (ITU-T I.371): one time a limit, which each use moves on.
CREATE TABLE rate (
    owner_id owner_id    NOT NULL,
    what     text        NOT NULL,
    next_at  timestamptz NOT NULL,
    PRIMARY KEY (owner_id, what)
);

SELECT keepsake_protect('set_aside');
SELECT keepsake_protect('server');
SELECT keepsake_protect('audit');
SELECT keepsake_protect('departure');
SELECT keepsake_protect('person');
SELECT keepsake_protect('rate');

-- People who don't want to be in anybody's shared memory. Everybody's transactions have to know, only they decide.
CREATE TABLE objection (
    user_id bigint      NOT NULL PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE objection ENABLE ROW LEVEL SECURITY;
ALTER TABLE objection FORCE ROW LEVEL SECURITY;
CREATE POLICY known_to_all ON objection FOR SELECT USING (true);
CREATE POLICY made_by_oneself ON objection FOR INSERT WITH CHECK (user_id = keepsake_me());
CREATE POLICY withdrawn_by_oneself ON objection FOR DELETE USING (user_id = keepsake_me());
GRANT SELECT, INSERT, DELETE ON objection TO keepsake_app;

-- Whoever links and whoever objects take the same lock, so neither can miss the other.
CREATE FUNCTION keepsake_check_objection() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('keepsake person ' || NEW.linked_user, 0));
    IF EXISTS (SELECT FROM objection WHERE user_id = NEW.linked_user) THEN
        RAISE EXCEPTION 'objected' USING ERRCODE = 'KS001';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER check_objection BEFORE INSERT OR UPDATE OF linked_user ON concept FOR EACH ROW
    WHEN (NEW.linked_user IS NOT NULL AND NEW.owner_id LIKE 'server:%')
    EXECUTE FUNCTION keepsake_check_objection();
CREATE TRIGGER check_objection BEFORE INSERT ON set_aside FOR EACH ROW
    WHEN (NEW.linked_user IS NOT NULL AND NEW.owner_id LIKE 'server:%')
    EXECUTE FUNCTION keepsake_check_objection();

-- Every change of a shared concept is in the audit log, whichever way it was made. What it said before is not:
-- a log must not keep what somebody took away.
CREATE FUNCTION keepsake_audit_concept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what text := CASE TG_OP
        WHEN 'INSERT' THEN 'shared'
        WHEN 'DELETE' THEN 'removed'
        ELSE 'changed' || CASE WHEN NEW.name <> OLD.name THEN ' name' ELSE '' END
                       || CASE WHEN NEW.info <> OLD.info THEN ' info' ELSE '' END
                       || CASE WHEN NEW.category <> OLD.category THEN ' category' ELSE '' END
                       || CASE WHEN NEW.linked_user IS DISTINCT FROM OLD.linked_user THEN ' person' ELSE '' END
                       || CASE WHEN NEW.avatar_id IS DISTINCT FROM OLD.avatar_id THEN ' avatar' ELSE '' END
        END;
    row concept := coalesce(NEW, OLD);
BEGIN
    IF what = 'changed' OR (what = 'changed avatar' AND OLD.avatar_id IS NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO server (owner_id) VALUES (row.owner_id) ON CONFLICT DO NOTHING;
    INSERT INTO audit (owner_id, actor, action, concept_id, subject)
    VALUES (row.owner_id, coalesce(keepsake_me(), 0), what, row.concept_id, row.name);
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_new AFTER INSERT ON concept FOR EACH ROW
    WHEN (NEW.owner_id LIKE 'server:%') EXECUTE FUNCTION keepsake_audit_concept();
CREATE TRIGGER audit_gone AFTER DELETE ON concept FOR EACH ROW
    WHEN (OLD.owner_id LIKE 'server:%') EXECUTE FUNCTION keepsake_audit_concept();
CREATE TRIGGER audit_changed AFTER UPDATE OF name, info, category, linked_user, avatar_id ON concept FOR EACH ROW
    WHEN (NEW.owner_id LIKE 'server:%') EXECUTE FUNCTION keepsake_audit_concept();

-- Erasing finds, in every server, what its viewer made or what is linked to them.
CREATE POLICY mine_to_erase ON concept FOR SELECT
    USING (keepsake_erases() AND owner_id LIKE 'server:%' AND keepsake_me() IN (created_by, linked_user));
CREATE POLICY mine_to_erase ON reference FOR SELECT
    USING (keepsake_erases() AND owner_id LIKE 'server:%' AND created_by = keepsake_me());
CREATE POLICY mine_to_erase ON set_aside FOR SELECT
    USING (keepsake_erases() AND owner_id LIKE 'server:%' AND keepsake_me() IN (set_by, linked_user));
CREATE POLICY mine_to_erase ON audit FOR SELECT
    USING (keepsake_erases() AND actor = keepsake_me());
CREATE POLICY mine_to_erase ON departure FOR SELECT
    USING (keepsake_erases() AND user_id = keepsake_me());

-- Where an answer was given decides how long it is kept; taking care sees what is due, and, for a server, what was
-- answered there, only to delete it.
DROP POLICY old_to_retention ON answer;
DROP POLICY old_deleted_by_retention ON answer;
DROP INDEX answer_by_age;
ALTER TABLE answer
    ADD COLUMN server_owner_id owner_id CHECK (server_owner_id LIKE 'server:%'),
    ADD COLUMN expires_at timestamptz NOT NULL DEFAULT now() + interval '30 days';
CREATE INDEX answer_by_age ON answer (expires_at);
CREATE INDEX answer_of_server ON answer (server_owner_id, created_at);

CREATE POLICY due_is_seen ON answer FOR SELECT
    USING (keepsake_takes_care()
           AND (expires_at < now() OR server_owner_id = current_setting('keepsake.shared', true)));
CREATE POLICY due_is_deleted ON answer FOR DELETE
    USING (keepsake_takes_care()
           AND (expires_at < now() OR server_owner_id = current_setting('keepsake.shared', true)));
CREATE POLICY due_is_seen ON set_aside FOR SELECT USING (keepsake_takes_care() AND expires_at < now());
CREATE POLICY due_is_deleted ON set_aside FOR DELETE USING (keepsake_takes_care() AND expires_at < now());
CREATE POLICY spent_is_seen ON rate FOR SELECT USING (keepsake_takes_care() AND next_at < now());
CREATE POLICY spent_is_deleted ON rate FOR DELETE USING (keepsake_takes_care() AND next_at < now());
CREATE POLICY servers_are_listed ON server FOR SELECT USING (keepsake_takes_care());
