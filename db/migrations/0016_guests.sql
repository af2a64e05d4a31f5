-- Who takes back, in another user's memory, what is theirs (a picture of their message, a note, a picture they showed)
-- enters that memory. There they are a guest: they delete that, and nothing else, and put nothing in.

CREATE FUNCTION keepsake_is_guest(whose owner_id) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT whose LIKE 'user:%' AND coalesce(keepsake_me(), 0) <> 0
           AND whose <> current_setting('keepsake.personal', true) AND NOT keepsake_takes_care()
$$;

CREATE POLICY guests_take_theirs ON reference AS RESTRICTIVE FOR DELETE
    USING (NOT keepsake_is_guest(owner_id) OR keepsake_me() IN (source_author, created_by));
CREATE POLICY guests_take_theirs ON note AS RESTRICTIVE FOR DELETE
    USING (NOT keepsake_is_guest(owner_id) OR author = keepsake_me());
CREATE POLICY guests_take_theirs ON answer AS RESTRICTIVE FOR DELETE
    USING (NOT keepsake_is_guest(owner_id) OR source_author = keepsake_me());

-- What hangs on these rows goes with them, by foreign keys and triggers.
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['concept', 'embedding', 'sighting', 'correction', 'spoken', 'person', 'rate'] LOOP
        EXECUTE format('CREATE POLICY guests_take_theirs ON %I AS RESTRICTIVE FOR DELETE
                            USING (NOT keepsake_is_guest(owner_id))', guarded);
    END LOOP;
    FOREACH guarded IN ARRAY ARRAY['concept', 'note', 'reference', 'embedding', 'picture', 'answer', 'sighting',
                                   'correction', 'spoken', 'person', 'rate', 'adapter'] LOOP
        EXECUTE format('CREATE POLICY guests_bring_nothing ON %I AS RESTRICTIVE FOR INSERT
                            WITH CHECK (NOT keepsake_is_guest(owner_id))', guarded);
    END LOOP;
END
$$;
