-- A journal of format 1 with a finished run, which published a table, and one that goes on: what `pg_dump --inserts`
-- wrote of it, without settings and comments.
CREATE SCHEMA journal0;
CREATE TABLE journal0.bundles (
    digest text NOT NULL,
    checksum bigint NOT NULL,
    payload bytea NOT NULL
);
CREATE TABLE journal0.leadership (
    id integer NOT NULL,
    epoch bigint NOT NULL,
    name text NOT NULL,
    url text NOT NULL,
    lease_ends_at timestamp with time zone NOT NULL,
    CONSTRAINT leadership_id_check CHECK ((id = 1))
);
CREATE TABLE journal0.publications (
    kind text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    payload text NOT NULL
);
CREATE TABLE journal0.publications_current (
    kind text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    payload text NOT NULL
);
CREATE TABLE journal0.records (
    run_id text NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    version bigint NOT NULL,
    checksum bigint NOT NULL,
    payload text NOT NULL
);
CREATE TABLE journal0.runs (
    run_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    status text NOT NULL,
    request_id text,
    submitted_at bigint NOT NULL,
    finished_at bigint,
    last_sequence bigint NOT NULL,
    summary text NOT NULL
);
CREATE TABLE journal0.schema_version (
    version bigint NOT NULL
);
CREATE TABLE journal0.snapshots (
    run_id text NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    version bigint NOT NULL,
    checksum bigint NOT NULL,
    payload text NOT NULL
);
INSERT INTO journal0.bundles VALUES ('b1', 253894503, '\x7b22656e747279223a22612e79616d6c227d');
INSERT INTO journal0.leadership VALUES (1, 2, 'house', 'http://house:7070', '2026-11-28 10:08:07.179322+00');
INSERT INTO journal0.publications VALUES ('table', 'segments', 1, '{"kind":"table","name":"segments","version":1,"dataset":{"manifest":"runs/segments/1","digest":"d","rows":1,"bytes":1},"run":"01kaqxb3t10000000000000001","stage":"orders","at":1763886600000}');
INSERT INTO journal0.publications_current VALUES ('table', 'segments', 1, '{"kind":"table","name":"segments","version":1,"dataset":{"manifest":"runs/segments/1","digest":"d","rows":1,"bytes":1},"run":"01kaqxb3t10000000000000001","stage":"orders","at":1763886600000}');
INSERT INTO journal0.records VALUES ('01kaqxb3t10000000000000001', 1, 1, 3202995793, '{"run_submitted":{"run":"01kaqxb3t10000000000000001","at":1763886600000,"workflow":{"name":"retail","description":null,"params":{},"stages":{"orders":{"name":"orders","description":null,"uses":"ingest/files","version":0,"with":{"map":{}},"needs":[],"condition":null,"retry":{"attempts":3,"initial":{"secs":1,"nanos":0},"factor":2.0,"max":{"secs":60,"nanos":0},"on":{"transient":true,"resource_exhausted":true}},"timeout":null,"placement":{"queue":"default","priority":0},"memory":null,"outputs":[]}}},"bundle":"b1","params":{}}}');
INSERT INTO journal0.records VALUES ('01kaqxb3t10000000000000001', 2, 1, 3947804461, '{"attempt_assigned":{"token":{"epoch":1,"attempt":{"run":"01kaqxb3t10000000000000001","stage":"orders","attempt":1}},"worker":"w1","at":1763886600000}}');
INSERT INTO journal0.records VALUES ('01kaqxb3t10000000000000001', 3, 1, 3107345744, '{"stage_succeeded":{"token":{"epoch":1,"attempt":{"run":"01kaqxb3t10000000000000001","stage":"orders","attempt":1}},"outcome":{"outputs":{},"metrics":{},"artifacts":[]},"published":[{"kind":"table","name":"segments","version":1,"dataset":{"manifest":"runs/segments/1","digest":"d","rows":1,"bytes":1}}],"at":1763886600000}}');
INSERT INTO journal0.records VALUES ('01kaqxb3t10000000000000001', 4, 1, 3741847728, '{"run_finished":{"run":"01kaqxb3t10000000000000001","status":"succeeded","failure":null,"at":1763886600000}}');
INSERT INTO journal0.records VALUES ('01kaqxb3t20000000000000002', 1, 1, 245354520, '{"run_submitted":{"run":"01kaqxb3t20000000000000002","at":1763886600000,"workflow":{"name":"retail","description":null,"params":{},"stages":{"orders":{"name":"orders","description":null,"uses":"ingest/files","version":0,"with":{"map":{}},"needs":[],"condition":null,"retry":{"attempts":3,"initial":{"secs":1,"nanos":0},"factor":2.0,"max":{"secs":60,"nanos":0},"on":{"transient":true,"resource_exhausted":true}},"timeout":null,"placement":{"queue":"default","priority":0},"memory":null,"outputs":[]}}},"bundle":"b1","params":{},"request_id":"nightly-2"}}');
INSERT INTO journal0.records VALUES ('01kaqxb3t20000000000000002', 2, 1, 2031656345, '{"attempt_assigned":{"token":{"epoch":1,"attempt":{"run":"01kaqxb3t20000000000000002","stage":"orders","attempt":1}},"worker":"w1","at":1763886600000}}');
INSERT INTO journal0.runs VALUES ('01kaqxb3t10000000000000001', 'retail', 'succeeded', NULL, 1763886600000, 1763886600000, 4, '{"run":"01kaqxb3t10000000000000001","workflow":"retail","status":"succeeded","submitted_at":1763886600000,"finished_at":1763886600000,"stages":{"total":1,"succeeded":1,"failed":0,"skipped":0},"failure":null}');
INSERT INTO journal0.runs VALUES ('01kaqxb3t20000000000000002', 'retail', 'running', 'nightly-2', 1763886600000, NULL, 2, '{"run":"01kaqxb3t20000000000000002","workflow":"retail","status":"running","submitted_at":1763886600000,"finished_at":null,"stages":{"total":1,"succeeded":0,"failed":0,"skipped":0},"failure":null}');
INSERT INTO journal0.schema_version VALUES (1);
ALTER TABLE ONLY journal0.bundles
    ADD CONSTRAINT bundles_pkey PRIMARY KEY (digest);
ALTER TABLE ONLY journal0.leadership
    ADD CONSTRAINT leadership_pkey PRIMARY KEY (id);
ALTER TABLE ONLY journal0.publications_current
    ADD CONSTRAINT publications_current_pkey PRIMARY KEY (kind, name);
ALTER TABLE ONLY journal0.publications
    ADD CONSTRAINT publications_pkey PRIMARY KEY (kind, name, version);
ALTER TABLE ONLY journal0.records
    ADD CONSTRAINT records_pkey PRIMARY KEY (run_id, sequence);
ALTER TABLE ONLY journal0.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY journal0.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (run_id);
CREATE INDEX runs_by_name ON journal0.runs USING btree (name, run_id);
CREATE UNIQUE INDEX runs_by_request ON journal0.runs USING btree (request_id);
CREATE INDEX runs_by_status ON journal0.runs USING btree (status, run_id);
CREATE INDEX runs_unfinished ON journal0.runs USING btree (run_id) WHERE (finished_at IS NULL);
