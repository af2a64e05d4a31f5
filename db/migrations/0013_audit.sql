-- The audit log can only be added to. What it names is named as long as it is remembered; who took their data away goes
-- by a pseudonym where they governed, which they can't wash off, until that is 90 days ago.

ALTER TABLE audit
    ADD COLUMN governed  boolean     NOT NULL DEFAULT false,  -- done to what is others', or to the rules
    ADD COLUMN pseudonym text        NOT NULL DEFAULT '',
    ADD COLUMN erased_at timestamptz;

ALTER TABLE audit NO FORCE ROW LEVEL SECURITY;
UPDATE audit SET governed = concept_id IS NULL, subject = CASE WHEN concept_id IS NULL THEN subject ELSE '' END;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;

REVOKE UPDATE, DELETE ON audit FROM keepsake_app;

-- What makes a pseudonym that nobody can guess the number behind. The app can't read it.
CREATE TABLE pseudonym_salt (salt text NOT NULL);

CREATE FUNCTION keepsake_pseudonym(whose owner_id, who bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO pseudonym_salt
    SELECT gen_random_uuid()::text || gen_random_uuid()::text WHERE NOT EXISTS (SELECT FROM pseudonym_salt);
    RETURN (SELECT left(encode(sha256(convert_to(min(salt) || whose || ' ' || who, 'UTF8')), 'hex'), 8)
              FROM pseudonym_salt);
END
$$;
REVOKE EXECUTE ON FUNCTION keepsake_pseudonym(owner_id, bigint) FROM PUBLIC;

-- Takes a user's number out of the log of the server that was entered: for themselves, or when they are long gone.
CREATE FUNCTION keepsake_forget_actor(whose owner_id, who bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    UPDATE audit
       SET actor = 0, erased_at = now(),
           pseudonym = CASE WHEN governed THEN keepsake_pseudonym(whose, who) ELSE '' END
     WHERE owner_id = whose AND whose = current_setting('keepsake.shared', true)
       AND actor = who AND who <> 0 AND keepsake_me() IN (who, 0)
$$;

-- Deletes the log of a server that the bot has left, when the bot itself lets go of all of it.
CREATE FUNCTION keepsake_delete_audit(whose owner_id) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    DELETE FROM audit
     WHERE owner_id = whose AND whose = current_setting('keepsake.shared', true) AND keepsake_me() = 0
       AND EXISTS (SELECT FROM server WHERE server.owner_id = whose AND left_at IS NOT NULL)
$$;

-- Lets go of pseudonyms when their time is over.
CREATE FUNCTION keepsake_wash_audit() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    WITH washed AS (
        UPDATE audit SET pseudonym = ''
         WHERE keepsake_takes_care() AND pseudonym <> '' AND erased_at < now() - interval '90 days'
        RETURNING 1
    )
    SELECT count(*) FROM washed
$$;
CREATE POLICY old_pseudonyms_are_seen ON audit FOR SELECT
    USING (keepsake_takes_care() AND erased_at < now() - interval '90 days');
CREATE POLICY old_pseudonyms_are_washed ON audit FOR UPDATE
    USING (keepsake_takes_care() AND erased_at < now() - interval '90 days');

-- The log says which concept it was, not what it was called: that is looked up while it is remembered.
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
    INSERT INTO audit (owner_id, actor, action, concept_id, governed)
    VALUES (row.owner_id, coalesce(keepsake_me(), 0), what, row.concept_id,
            keepsake_governs() AND coalesce(row.created_by <> keepsake_me(), false));
    RETURN NULL;
END
$$;
