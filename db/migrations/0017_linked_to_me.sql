-- Who is linked to a concept finds it wherever it is, to take it out: what is shared goes, and from somebody's own memory
-- the link goes. What that memory says stays its owner's: no statement of ours reads more of it than where it is.

DROP POLICY mine_to_erase ON concept;
CREATE POLICY mine_to_erase ON concept FOR SELECT
    USING (keepsake_erases()
           AND (linked_user = keepsake_me()
                OR (owner_id LIKE 'server:%' AND keepsake_me() IN (created_by, forgotten_by))));
CREATE INDEX concept_by_person ON concept (linked_user) WHERE linked_user IS NOT NULL;
