-- A person is shared on a server only when the account that is linked to them agreed, or, where none is, when somebody who
-- governs approved it. What is agreed to is the proposal: it waits for the person first, then for the admins if they want
-- that. Shared people who are there already stay; who is linked to one sees it in /privacy, and may take it out. Proposals
-- of people that wait already wait for the person now, too.

ALTER TABLE proposal
    ADD COLUMN agreed_at   timestamptz,
    ADD COLUMN declined_at timestamptz,
    ADD CHECK (agreed_at IS NULL OR declined_at IS NULL);

CREATE POLICY answered_by_who_is_meant ON proposal FOR UPDATE
    USING (person = keepsake_me()) WITH CHECK (person = keepsake_me());

-- Only who is meant answers, and that is all they change. To propose oneself is to agree. What is another proposal by now
-- is agreed to anew.
CREATE FUNCTION keepsake_check_agreement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_meant boolean := coalesce(NEW.person = keepsake_me(), false);
    is_made  boolean := coalesce(NEW.concept_owner_id = current_setting('keepsake.personal', true), false);
    is_other boolean := TG_OP = 'INSERT'
                        OR (NEW.owner_id, NEW.concept_owner_id, NEW.concept_id, NEW.person)
                           IS DISTINCT FROM (OLD.owner_id, OLD.concept_owner_id, OLD.concept_id, OLD.person);
BEGIN
    IF is_other AND is_meant AND NOT is_made THEN
        RAISE EXCEPTION 'who is meant only answers' USING ERRCODE = 'insufficient_privilege';
    ELSIF is_other THEN
        NEW.agreed_at := CASE WHEN is_meant THEN now() END;
        NEW.declined_at := NULL;
    ELSIF NOT is_meant AND (NEW.agreed_at, NEW.declined_at) IS DISTINCT FROM (OLD.agreed_at, OLD.declined_at) THEN
        RAISE EXCEPTION 'only who is meant answers' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER check_agreement BEFORE INSERT OR UPDATE ON proposal FOR EACH ROW
    EXECUTE FUNCTION keepsake_check_agreement();

CREATE OR REPLACE FUNCTION keepsake_check_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT keepsake_is_person(NEW.linked_user, NEW.category) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND keepsake_is_person(OLD.linked_user, OLD.category)
       AND coalesce(NEW.linked_user = OLD.linked_user, NEW.linked_user IS NULL) THEN
        RETURN NEW;
    END IF;
    IF current_setting('keepsake.people', true) = 'off' THEN
        RAISE EXCEPTION 'no people here' USING ERRCODE = 'KS003';
    END IF;
    IF NEW.created_by = keepsake_me() AND NOT EXISTS (
           SELECT FROM person
            WHERE owner_id = current_setting('keepsake.personal', true) AND vouched_at IS NOT NULL) THEN
        RAISE EXCEPTION 'no word given' USING ERRCODE = 'KS004';
    END IF;
    IF NEW.owner_id LIKE 'user:%' OR NEW.linked_user = keepsake_me() THEN
        RETURN NEW;
    END IF;
    IF NEW.linked_user IS NULL AND NOT keepsake_governs() THEN
        RAISE EXCEPTION 'no admin approved' USING ERRCODE = 'KS005';
    END IF;
    IF NEW.linked_user IS NOT NULL AND NOT EXISTS (
           SELECT FROM proposal
            WHERE owner_id = NEW.owner_id AND concept_id = NEW.concept_id
              AND person = NEW.linked_user AND agreed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'they did not agree' USING ERRCODE = 'KS006';
    END IF;
    RETURN NEW;
END
$$;
