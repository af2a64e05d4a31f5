-- The memory: concepts, their references and embeddings, what answers showed, and what viewers corrected.
--
-- Two rules hold for every table here and for every later one that has an owner:
--   * owner_id leads the primary key, the foreign keys and the indexes, so that recall touches one owner's
--     rows, deletion is one statement, and the schema can be distributed or hash-partitioned by owner;
--   * keepsake_protect() is called on it: row-level security, forced, with the one policy of the house.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE DOMAIN owner_id AS text CHECK (VALUE ~ '^(user|server):[0-9]{1,20}$');

-- The role that the bot connects as. Roles belong to the whole cluster, so another database may have made it
-- (at this very moment, even). It gets LOGIN, and a password where one is needed, after the migrations.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keepsake_app') THEN
        CREATE ROLE keepsake_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

GRANT USAGE ON SCHEMA public TO keepsake_app;

-- Rows are visible, and may be written, only where the owner is the viewer of this transaction or the server
-- the viewer is in. A setting that was never made is NULL, one whose transaction ended is '': neither is an owner.
CREATE FUNCTION keepsake_protect(protected regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', protected);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', protected);
    EXECUTE format(
        'CREATE POLICY of_the_viewer ON %s
             USING (owner_id = ANY (ARRAY[current_setting(''keepsake.personal'', true),
                                          current_setting(''keepsake.shared'', true)]))
             WITH CHECK (owner_id = ANY (ARRAY[current_setting(''keepsake.personal'', true),
                                               current_setting(''keepsake.shared'', true)]))',
        protected);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO keepsake_app', protected);
END
$$;
REVOKE EXECUTE ON FUNCTION keepsake_protect(regclass) FROM PUBLIC;

-- Pictures are upright JPEGs without metadata, stored once an owner however many references share them.
CREATE TABLE picture (
    owner_id       owner_id    NOT NULL,
    picture_sha256 text        NOT NULL CHECK (picture_sha256 ~ '^[0-9a-f]{64}$'),
    jpeg           bytea       NOT NULL,
    width          integer     NOT NULL CHECK (width > 0),
    height         integer     NOT NULL CHECK (height > 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, picture_sha256)
);
-- A JPEG does not get smaller: EXTERNAL spares the attempt to compress it.
ALTER TABLE picture ALTER COLUMN jpeg SET STORAGE EXTERNAL;

CREATE TABLE concept (
    owner_id         owner_id    NOT NULL,
    concept_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    name             text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    name_key         text        NOT NULL CHECK (name_key <> ''),  -- db.names.name_key: one spelling of a name
    info             text        NOT NULL DEFAULT '' CHECK (char_length(info) <= 1000),
    category         text        NOT NULL DEFAULT '' CHECK (char_length(category) <= 64),
    avatar_id        uuid,                                         -- the reference that is shown
    created_by       bigint      NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    times_recognised integer     NOT NULL DEFAULT 0,
    last_seen        timestamptz,
    PRIMARY KEY (owner_id, concept_id),
    CONSTRAINT concept_name_once UNIQUE (owner_id, name_key)
);

CREATE TABLE reference (
    owner_id       owner_id    NOT NULL,
    reference_id   uuid        NOT NULL DEFAULT gen_random_uuid(),
    concept_id     uuid        NOT NULL,
    picture_sha256 text        NOT NULL,
    box_left       real        NOT NULL,  -- fractions of the picture's width and height
    box_top        real        NOT NULL,
    box_right      real        NOT NULL,
    box_bottom     real        NOT NULL,
    created_by     bigint      NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, reference_id),
    UNIQUE (owner_id, concept_id, reference_id),
    FOREIGN KEY (owner_id, concept_id) REFERENCES concept (owner_id, concept_id) ON DELETE CASCADE,
    FOREIGN KEY (owner_id, picture_sha256) REFERENCES picture (owner_id, picture_sha256),
    CHECK (0 <= box_left AND box_left < box_right AND box_right <= 1),
    CHECK (0 <= box_top AND box_top < box_bottom AND box_bottom <= 1)
);
CREATE INDEX reference_of_picture ON reference (owner_id, picture_sha256);

-- An avatar is one of the concept's own references, or none.
ALTER TABLE concept ADD CONSTRAINT concept_avatar
    FOREIGN KEY (owner_id, concept_id, avatar_id) REFERENCES reference (owner_id, concept_id, reference_id)
    ON DELETE SET NULL (avatar_id);

-- One vector or several (part 0, 1, ...) a reference and embedding id: changing packs adds rows of another id.
CREATE TABLE embedding (
    owner_id     owner_id NOT NULL,
    concept_id   uuid     NOT NULL,  -- its reference's: recall reads this table alone
    reference_id uuid     NOT NULL,
    embedding_id text     NOT NULL CHECK (embedding_id <> ''),
    part         smallint NOT NULL DEFAULT 0,
    vector       halfvec  NOT NULL,
    PRIMARY KEY (owner_id, reference_id, embedding_id, part),
    FOREIGN KEY (owner_id, concept_id, reference_id)
        REFERENCES reference (owner_id, concept_id, reference_id) ON DELETE CASCADE
);
-- In line with its row, not moved out: exact search in an owner's rows is three times faster.
ALTER TABLE embedding ALTER COLUMN vector SET STORAGE PLAIN;
CREATE INDEX embedding_by_id ON embedding (owner_id, embedding_id);

-- What an answer showed, so that its buttons still work after a restart. It belongs to who asked.
CREATE TABLE answer (
    owner_id       owner_id    NOT NULL CHECK (owner_id LIKE 'user:%'),
    answer_id      uuid        NOT NULL DEFAULT gen_random_uuid(),
    picture_sha256 text        NOT NULL,
    jpeg           bytea       NOT NULL,
    width          integer     NOT NULL CHECK (width > 0),
    height         integer     NOT NULL CHECK (height > 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, answer_id)
);
ALTER TABLE answer ALTER COLUMN jpeg SET STORAGE EXTERNAL;
-- The one index that owner_id does not lead: retention looks for what is old, whoever owns it.
CREATE INDEX answer_by_age ON answer (created_at);

CREATE TABLE sighting (
    owner_id         owner_id NOT NULL CHECK (owner_id LIKE 'user:%'),
    answer_id        uuid     NOT NULL,
    region           smallint NOT NULL,
    box_left         real     NOT NULL,
    box_top          real     NOT NULL,
    box_right        real     NOT NULL,
    box_bottom       real     NOT NULL,
    embedding_id     text     NOT NULL,
    vector           halfvec  NOT NULL,
    concept_owner_id owner_id,  -- no foreign key: what was forgotten since then is read as nobody
    concept_id       uuid,
    probability      real,
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, answer_id, region),
    FOREIGN KEY (owner_id, answer_id) REFERENCES answer (owner_id, answer_id) ON DELETE CASCADE,
    CHECK ((concept_id IS NULL) = (concept_owner_id IS NULL))
);
ALTER TABLE sighting ALTER COLUMN vector SET STORAGE PLAIN;

-- Corrections belong to the user who made them, even about a shared concept: no member can spoil it for others.
CREATE TABLE correction (
    owner_id         owner_id    NOT NULL CHECK (owner_id LIKE 'user:%'),
    correction_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    concept_owner_id owner_id    NOT NULL,
    concept_id       uuid        NOT NULL,
    verdict          text        NOT NULL CHECK (verdict IN ('right', 'not_them')),
    embedding_id     text        NOT NULL CHECK (embedding_id <> ''),
    vector           halfvec     NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, correction_id),
    FOREIGN KEY (concept_owner_id, concept_id) REFERENCES concept (owner_id, concept_id) ON DELETE CASCADE,
    CHECK (concept_owner_id = owner_id OR concept_owner_id LIKE 'server:%')
);
ALTER TABLE correction ALTER COLUMN vector SET STORAGE PLAIN;
CREATE INDEX correction_by_id ON correction (owner_id, embedding_id);
CREATE INDEX correction_of_concept ON correction (concept_owner_id, concept_id);

SELECT keepsake_protect('picture');
SELECT keepsake_protect('concept');
SELECT keepsake_protect('reference');
SELECT keepsake_protect('embedding');
SELECT keepsake_protect('answer');
SELECT keepsake_protect('sighting');
SELECT keepsake_protect('correction');

-- Retention has no viewer. A transaction that says it is retention sees old answers, only those, only to delete them.
CREATE POLICY old_to_retention ON answer FOR SELECT
    USING (current_setting('keepsake.retention', true) = 'on' AND created_at < now() - interval '30 days');
CREATE POLICY old_deleted_by_retention ON answer FOR DELETE
    USING (current_setting('keepsake.retention', true) = 'on' AND created_at < now() - interval '30 days');
