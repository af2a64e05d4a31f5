-- The field's words: limits are max_…, and a recognition that was wrong is 'incorrect'.

ALTER TABLE server RENAME COLUMN most_of_member TO max_per_member;
ALTER TABLE server RENAME COLUMN most_of_server TO max_per_server;
ALTER TABLE server RENAME CONSTRAINT server_most_of_member_check TO server_max_per_member_check;
ALTER TABLE server RENAME CONSTRAINT server_most_of_server_check TO server_max_per_server_check;

-- Row-level security binds the owner of a table, too, unless told not to.
ALTER TABLE correction NO FORCE ROW LEVEL SECURITY;
ALTER TABLE set_aside NO FORCE ROW LEVEL SECURITY;

ALTER TABLE correction DROP CONSTRAINT correction_verdict_check;
UPDATE correction SET verdict = 'incorrect' WHERE verdict = 'not_them';
ALTER TABLE correction ADD CONSTRAINT correction_verdict_check CHECK (verdict IN ('right', 'incorrect'));

-- What is set aside holds the rows of corrections as they were: they have to fit when they come back.
UPDATE set_aside
   SET snapshot = jsonb_set(snapshot, '{correction}', (
           SELECT jsonb_agg(CASE WHEN correction ->> 'verdict' = 'not_them'
                                 THEN correction || '{"verdict": "incorrect"}'
                                 ELSE correction END)
             FROM jsonb_array_elements(snapshot -> 'correction') AS correction))
 WHERE jsonb_path_exists(snapshot, '$.correction[*] ? (@.verdict == "not_them")');

ALTER TABLE set_aside FORCE ROW LEVEL SECURITY;
ALTER TABLE correction FORCE ROW LEVEL SECURITY;
