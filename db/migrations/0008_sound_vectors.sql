-- What recall reads is about as long as a unit vector (a pack's trust makes one up to half longer or shorter), whoever
-- wrote it: one wrong vector would stand before everything else for ever. (halfvec itself takes finite numbers only.)
-- A correction that isn't sound came in from a file; it goes. The other rows were all made here: only new ones are checked.

ALTER TABLE correction NO FORCE ROW LEVEL SECURITY;
DELETE FROM correction WHERE NOT l2_norm(vector) BETWEEN 0.5 AND 1.5;
ALTER TABLE correction FORCE ROW LEVEL SECURITY;

ALTER TABLE correction ADD CONSTRAINT correction_is_sound CHECK (l2_norm(vector) BETWEEN 0.5 AND 1.5);
ALTER TABLE embedding ADD CONSTRAINT embedding_is_sound CHECK (l2_norm(vector) BETWEEN 0.5 AND 1.5) NOT VALID;
ALTER TABLE sighting ADD CONSTRAINT sighting_is_sound CHECK (l2_norm(vector) BETWEEN 0.5 AND 1.5) NOT VALID;
