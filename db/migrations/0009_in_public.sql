-- What is said of a private memory where others can read, and which of the bot's messages answers whom.

ALTER TABLE person ADD COLUMN in_public text NOT NULL DEFAULT 'names'
    CHECK (in_public IN ('nothing', 'names', 'everything'));

-- A message of the bot's, under the id of who asked: only a reply of theirs to it goes on with the conversation, only they
-- take it back, and it goes when their question does. What was said is not kept.
CREATE TABLE spoken (
    owner_id        owner_id    NOT NULL CHECK (owner_id LIKE 'user:%'),
    message_id      bigint      NOT NULL,
    first_id        bigint      NOT NULL,  -- the first message of the same answer
    channel_id      bigint      NOT NULL,
    question_id     bigint,                -- the message that it answers; a command has none
    answer_id       uuid,                  -- what is kept of its picture
    concept_ids     uuid[]      NOT NULL DEFAULT '{}',  -- private ones that more could be said of, to who asked alone
    server_owner_id owner_id    CHECK (server_owner_id LIKE 'server:%'),
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (owner_id, message_id)
);
CREATE INDEX spoken_by_question ON spoken (question_id);
CREATE INDEX spoken_by_age ON spoken (expires_at);
SELECT keepsake_protect('spoken');

-- Discord says which message was deleted, not whose it was; and what is old goes.
CREATE POLICY answers_are_found ON spoken FOR SELECT USING (keepsake_takes_care());
CREATE POLICY due_is_deleted ON spoken FOR DELETE
    USING (keepsake_takes_care()
           AND (expires_at < now() OR server_owner_id = current_setting('keepsake.shared', true)));
