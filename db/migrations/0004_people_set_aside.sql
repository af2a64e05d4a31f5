-- What is set aside names people, too: erasing finds whoever remembered it, added a picture to it, or is it.

ALTER TABLE set_aside ADD COLUMN people jsonb NOT NULL GENERATED ALWAYS AS (
    jsonb_path_query_array(snapshot, '$.concept.created_by')
    || jsonb_path_query_array(snapshot, '$.concept.linked_user')
    || jsonb_path_query_array(snapshot, '$.reference[*].created_by')) STORED;

DROP POLICY mine_to_erase ON set_aside;
CREATE POLICY mine_to_erase ON set_aside FOR SELECT
    USING (keepsake_erases() AND owner_id LIKE 'server:%'
           AND (set_by = keepsake_me() OR linked_user = keepsake_me() OR people @> to_jsonb(keepsake_me())));
