-- What is forgotten stays where it is, in a state in which nothing sees it, until it can't be undone any more; and what
-- is proposed to a server is the concept itself, not a copy: changed with it, and gone with it.

-- A transaction may open the trash: to forget, to undo, or to delete for good. Erasing and taking care see what is in it.
CREATE FUNCTION keepsake_opens_trash() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('keepsake.trash', true), '') = 'on' OR keepsake_erases() OR keepsake_takes_care()
$$;

ALTER TABLE concept
    ADD COLUMN forgotten_at timestamptz,
    ADD COLUMN forgotten_by bigint,
    ADD CHECK ((forgotten_at IS NULL) = (forgotten_by IS NULL));
-- Its rows say so themselves: what recall reads has to be known by itself alone.
ALTER TABLE note ADD COLUMN is_forgotten boolean NOT NULL DEFAULT false;
ALTER TABLE reference ADD COLUMN is_forgotten boolean NOT NULL DEFAULT false;
ALTER TABLE embedding ADD COLUMN is_forgotten boolean NOT NULL DEFAULT false;

ALTER TABLE concept DROP CONSTRAINT concept_name_once;
CREATE UNIQUE INDEX concept_name_once ON concept (owner_id, name_key) WHERE forgotten_at IS NULL;
CREATE INDEX concept_forgotten ON concept (forgotten_at) WHERE forgotten_at IS NOT NULL;

CREATE POLICY not_forgotten ON concept AS RESTRICTIVE USING (forgotten_at IS NULL OR keepsake_opens_trash());
CREATE POLICY not_forgotten ON note AS RESTRICTIVE USING (NOT is_forgotten OR keepsake_opens_trash());
CREATE POLICY not_forgotten ON reference AS RESTRICTIVE USING (NOT is_forgotten OR keepsake_opens_trash());
CREATE POLICY not_forgotten ON embedding AS RESTRICTIVE USING (NOT is_forgotten OR keepsake_opens_trash());

-- Erasing finds what its viewer forgot of others' concepts: only they could undo that.
DROP POLICY mine_to_erase ON concept;
CREATE POLICY mine_to_erase ON concept FOR SELECT
    USING (keepsake_erases() AND owner_id LIKE 'server:%' AND keepsake_me() IN (created_by, linked_user, forgotten_by));

-- Taking care finds what can't be undone any more, to go and delete it.
CREATE POLICY forgotten_are_listed ON concept FOR SELECT USING (keepsake_takes_care() AND forgotten_at IS NOT NULL);

-- A concept that a user wants to share, before the admins of a server.
CREATE TABLE proposal (
    owner_id         owner_id    NOT NULL CHECK (owner_id LIKE 'server:%'),
    proposal_id      uuid        NOT NULL DEFAULT gen_random_uuid(),
    concept_owner_id owner_id    NOT NULL CHECK (concept_owner_id LIKE 'user:%'),
    concept_id       uuid        NOT NULL,
    person           bigint,  -- whose account the concept is linked to
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL,
    PRIMARY KEY (owner_id, proposal_id),
    CONSTRAINT proposed_once UNIQUE (owner_id, concept_owner_id, concept_id),
    FOREIGN KEY (concept_owner_id, concept_id) REFERENCES concept (owner_id, concept_id) ON DELETE CASCADE
);
CREATE INDEX proposal_of_concept ON proposal (concept_owner_id, concept_id);
CREATE INDEX proposal_by_age ON proposal (expires_at);
ALTER TABLE proposal ENABLE ROW LEVEL SECURITY;
ALTER TABLE proposal FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON proposal TO keepsake_app;

-- Who governs the server that a transaction is on; nobody in particular (0) does when the bot looks after it by itself.
CREATE FUNCTION keepsake_governs() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('keepsake.governs', true), '') = 'on' OR keepsake_me() = 0
$$;

-- Other members don't see what somebody proposes: who made it does, who is meant by it, and who governs.
CREATE POLICY made_by_oneself ON proposal
    USING (concept_owner_id = current_setting('keepsake.personal', true))
    WITH CHECK (concept_owner_id = current_setting('keepsake.personal', true)
                AND owner_id = current_setting('keepsake.shared', true));
CREATE POLICY seen_by_who_governs ON proposal FOR SELECT
    USING (owner_id = current_setting('keepsake.shared', true) AND keepsake_governs());
CREATE POLICY deleted_by_who_governs ON proposal FOR DELETE
    USING (owner_id = current_setting('keepsake.shared', true) AND keepsake_governs());
CREATE POLICY seen_by_who_is_meant ON proposal FOR SELECT USING (person = keepsake_me());
CREATE POLICY deleted_by_who_is_meant ON proposal FOR DELETE USING (person = keepsake_me());
CREATE POLICY due_is_seen ON proposal FOR SELECT USING (keepsake_takes_care() AND expires_at < now());
CREATE POLICY due_is_deleted ON proposal FOR DELETE USING (keepsake_takes_care() AND expires_at < now());

-- Nobody is proposed who objected: as with a shared concept (keepsake_check_objection).
CREATE FUNCTION keepsake_check_proposed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('keepsake person ' || NEW.person, 0));
    IF EXISTS (SELECT FROM objection WHERE user_id = NEW.person) THEN
        RAISE EXCEPTION 'objected' USING ERRCODE = 'KS001';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER check_objection BEFORE INSERT OR UPDATE OF person ON proposal FOR EACH ROW
    WHEN (NEW.person IS NOT NULL) EXECUTE FUNCTION keepsake_check_proposed();

-- Whoever decides about a proposal sees what is proposed, in a transaction that says it decides.
CREATE FUNCTION keepsake_decides(whose owner_id, what uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('keepsake.deciding', true), '') = 'on'
           AND EXISTS (SELECT FROM proposal
                        WHERE proposal.concept_owner_id = whose AND proposal.concept_id = what
                          AND proposal.expires_at > now())
$$;
CREATE POLICY proposed ON concept FOR SELECT USING (keepsake_decides(owner_id, concept_id));
CREATE POLICY proposed ON note FOR SELECT USING (keepsake_decides(owner_id, concept_id));
CREATE POLICY proposed ON reference FOR SELECT USING (keepsake_decides(owner_id, concept_id));
CREATE POLICY proposed ON embedding FOR SELECT USING (keepsake_decides(owner_id, concept_id));
CREATE POLICY proposed ON picture FOR SELECT
    USING (coalesce(current_setting('keepsake.deciding', true), '') = 'on'
           AND EXISTS (SELECT FROM reference
                        WHERE reference.owner_id = picture.owner_id
                          AND reference.picture_sha256 = picture.picture_sha256
                          AND keepsake_decides(reference.owner_id, reference.concept_id)));

-- What is forgotten is forgotten with all its rows, and no longer proposed; what was learned from it goes at once.
CREATE FUNCTION keepsake_forget() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_gone boolean := NEW.forgotten_at IS NOT NULL;
BEGIN
    UPDATE reference SET is_forgotten = is_gone WHERE owner_id = NEW.owner_id AND concept_id = NEW.concept_id;
    UPDATE embedding SET is_forgotten = is_gone WHERE owner_id = NEW.owner_id AND concept_id = NEW.concept_id;
    UPDATE note SET is_forgotten = is_gone WHERE owner_id = NEW.owner_id AND concept_id = NEW.concept_id;
    IF is_gone THEN
        DELETE FROM proposal WHERE concept_owner_id = NEW.owner_id AND concept_id = NEW.concept_id;
        DELETE FROM adapter WHERE adapter.owner_id = NEW.owner_id AND NEW.concept_id = ANY (adapter.saw);
        PERFORM keepsake_withdraw_runs(NEW.owner_id, NEW.created_at);
    ELSE
        -- Packs may have changed meanwhile: somebody has to look what is missing.
        UPDATE embedding_use SET missing = 1 WHERE owner_id = NEW.owner_id AND missing = 0;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER forget AFTER UPDATE OF forgotten_at ON concept FOR EACH ROW
    WHEN (NEW.forgotten_at IS DISTINCT FROM OLD.forgotten_at) EXECUTE FUNCTION keepsake_forget();

-- Forgetting is what the log says; that it is deleted ten minutes later is not.
CREATE OR REPLACE FUNCTION keepsake_audit_concept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what text := CASE
        WHEN TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND OLD.forgotten_at IS NOT NULL AND NEW.forgotten_at IS NULL)
        THEN 'shared'
        WHEN TG_OP = 'DELETE' OR (OLD.forgotten_at IS NULL AND NEW.forgotten_at IS NOT NULL)
        THEN 'removed'
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
DROP TRIGGER audit_gone ON concept;
CREATE TRIGGER audit_gone AFTER DELETE ON concept FOR EACH ROW
    WHEN (OLD.owner_id LIKE 'server:%' AND OLD.forgotten_at IS NULL) EXECUTE FUNCTION keepsake_audit_concept();
DROP TRIGGER audit_changed ON concept;
CREATE TRIGGER audit_changed AFTER UPDATE OF name, info, category, linked_user, avatar_id, forgotten_at ON concept
    FOR EACH ROW WHEN (NEW.owner_id LIKE 'server:%') EXECUTE FUNCTION keepsake_audit_concept();

-- The copies of before. What is proposed is proposed again, if who proposed it still has it. What is forgotten was to be
-- deleted within ten minutes, and is so now.
ALTER TABLE set_aside NO FORCE ROW LEVEL SECURITY;
ALTER TABLE concept NO FORCE ROW LEVEL SECURITY;
ALTER TABLE proposal NO FORCE ROW LEVEL SECURITY;
INSERT INTO proposal (owner_id, concept_owner_id, concept_id, person, created_at, expires_at)
SELECT set_aside.owner_id, concept.owner_id, concept.concept_id, concept.linked_user,
       set_aside.created_at, set_aside.expires_at
  FROM set_aside
  JOIN concept ON concept.owner_id = 'user:' || set_aside.set_by
              AND concept.concept_id = (set_aside.snapshot -> 'concept' ->> 'concept_id')::uuid
 WHERE set_aside.why = 'proposed' AND set_aside.expires_at > now()
    ON CONFLICT DO NOTHING;
ALTER TABLE proposal FORCE ROW LEVEL SECURITY;
ALTER TABLE concept FORCE ROW LEVEL SECURITY;
DROP TABLE set_aside;
