-- Adapters: what the writer learned from one owner's memory. Each says what it was trained on and whose that was, so
-- that it goes when any of that goes.

-- One training of one owner. Its report names what it was trained on: when that is taken away, so is the report.
CREATE TABLE training_run (
    owner_id     owner_id    NOT NULL,
    run_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    pack         text        NOT NULL CHECK (pack <> ''),
    state        text        NOT NULL DEFAULT 'running'
                             CHECK (state IN ('running', 'promoted', 'refused', 'failed', 'stopped')),
    phase        text        NOT NULL DEFAULT '' CHECK (char_length(phase) <= 100),
    step         integer     NOT NULL DEFAULT 0,
    steps        integer     NOT NULL DEFAULT 0,  -- of this phase; 0: not known
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz,
    problem      text        NOT NULL DEFAULT '' CHECK (char_length(problem) <= 1000),
    report       jsonb       CHECK (jsonb_typeof(report) = 'object'),
    withdrawn_at timestamptz,  -- when something that it may have been trained on was taken away
    PRIMARY KEY (owner_id, run_id),
    CHECK (step BETWEEN 0 AND steps),
    CHECK ((state = 'running') = (finished_at IS NULL)),
    CHECK (finished_at >= started_at),
    CHECK (withdrawn_at IS NULL OR report IS NULL)
);

CREATE TABLE adapter (
    owner_id   owner_id    NOT NULL,
    adapter_id text        NOT NULL CHECK (adapter_id = encode(sha256(weights), 'hex')),
    run_id     uuid,
    base       text        NOT NULL CHECK (base <> ''),  -- the fingerprint of the model that it adapts
    manifest   jsonb       NOT NULL CHECK (jsonb_typeof(manifest) = 'object'),
    weights    bytea       NOT NULL CHECK (octet_length(weights) > 0),
    saw        uuid[]      NOT NULL CHECK (cardinality(saw) > 0 AND array_position(saw, NULL) IS NULL),
    saw_users  bigint[]    NOT NULL CHECK (cardinality(saw_users) > 0 AND array_position(saw_users, NULL) IS NULL),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (owner_id, adapter_id),
    -- A user's own adapter saw nobody else's.
    CHECK (owner_id LIKE 'server:%' OR saw_users::text = '{' || split_part(owner_id, ':', 2) || '}')
);
-- Weights do not get smaller: EXTERNAL spares the attempt to compress them.
ALTER TABLE adapter ALTER COLUMN weights SET STORAGE EXTERNAL;

-- The latest row says which adapter answers for an owner; NULL is none, the base model. Promoting, rolling back and
-- turning off are one new row each. When an adapter is deleted, the one before it is in use again.
CREATE TABLE promotion (
    owner_id     owner_id    NOT NULL,
    promotion_id bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    adapter_id   text,
    why          text        NOT NULL CHECK (char_length(why) BETWEEN 1 AND 1000),
    actor        bigint      NOT NULL CHECK (actor >= 0),  -- 0: the schedule, or somebody who took their data away
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, promotion_id),
    FOREIGN KEY (owner_id, adapter_id) REFERENCES adapter (owner_id, adapter_id) ON DELETE CASCADE
);
CREATE INDEX promotion_of_adapter ON promotion (owner_id, adapter_id);

SELECT keepsake_protect('training_run');
SELECT keepsake_protect('adapter');
SELECT keepsake_protect('promotion');

-- Of an owner's runs that were there at the time or later, those without an adapter lose their report and count no
-- more. (A run whose adapter is still there was not trained on what went.)
CREATE FUNCTION keepsake_withdraw_runs(whose owner_id, since timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE training_run
       SET report = NULL, withdrawn_at = now()
     WHERE training_run.owner_id = whose
       AND training_run.withdrawn_at IS NULL
       AND coalesce(training_run.finished_at, 'infinity') >= since
       AND NOT EXISTS (SELECT FROM adapter
                        WHERE adapter.owner_id = training_run.owner_id AND adapter.run_id = training_run.run_id)
$$;

-- Whichever way a concept or a reference goes, what was learned from it goes, too; undoing does not bring that back.
CREATE FUNCTION keepsake_unlearn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone uuid;
BEGIN
    IF TG_TABLE_NAME = 'concept' THEN
        gone := OLD.concept_id;
    ELSE
        gone := OLD.reference_id;
    END IF;
    DELETE FROM adapter WHERE adapter.owner_id = OLD.owner_id AND gone = ANY (adapter.saw);
    PERFORM keepsake_withdraw_runs(OLD.owner_id, OLD.created_at);
    RETURN NULL;
END
$$;
CREATE TRIGGER unlearn AFTER DELETE ON concept FOR EACH ROW EXECUTE FUNCTION keepsake_unlearn();
CREATE TRIGGER unlearn AFTER DELETE ON reference FOR EACH ROW EXECUTE FUNCTION keepsake_unlearn();

-- Erasing, and withdrawing consent, find the servers whose adapters were trained on what is their viewer's.
CREATE POLICY mine_to_erase ON adapter FOR SELECT
    USING (keepsake_erases() AND owner_id LIKE 'server:%' AND keepsake_me() = ANY (saw_users));
CREATE POLICY mine_to_erase ON promotion FOR SELECT
    USING (keepsake_erases() AND owner_id LIKE 'server:%' AND actor = keepsake_me());

-- Training goes from memory to memory: it sees whose data it may use, and nothing of that.
CREATE POLICY consents_are_listed ON person FOR SELECT USING (keepsake_takes_care());

ALTER TABLE server
    ADD COLUMN trains     boolean  NOT NULL DEFAULT true,
    ADD COLUMN quiet_from smallint NOT NULL DEFAULT 2 CHECK (quiet_from BETWEEN 0 AND 23),  -- hours, UTC; from and to
    ADD COLUMN quiet_to   smallint NOT NULL DEFAULT 6 CHECK (quiet_to BETWEEN 0 AND 23);    -- the same: at any time
