-- Which shared concepts an answer speaks of: who deletes everything takes back what others were told about them, too.

ALTER TABLE spoken ADD COLUMN about uuid[] NOT NULL DEFAULT '{}';
