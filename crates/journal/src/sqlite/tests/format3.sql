-- A journal of format 3 with a finished run, which published a table, and one that goes on: what `.dump` wrote of it.
PRAGMA application_id = 1297175641;
BEGIN TRANSACTION;
CREATE TABLE bundles (
        digest      TEXT PRIMARY KEY,
        checksum    INTEGER NOT NULL,        -- CRC-32C over digest and payload
        payload     BLOB NOT NULL
    ) STRICT;
INSERT INTO "bundles" VALUES('b1',253894503,X'7B22656E747279223A22612E79616D6C227D');
CREATE TABLE leadership (
        id          INTEGER PRIMARY KEY CHECK (id = 1),
        epoch       INTEGER NOT NULL
    , name TEXT NOT NULL DEFAULT '', url TEXT NOT NULL DEFAULT '', lease_ends_at INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "leadership" VALUES(1,2,'house','http://house:7070',1795860486547);
CREATE TABLE publications (
        kind        TEXT NOT NULL,
        name        TEXT NOT NULL,
        version     INTEGER NOT NULL,        -- counted from 1 without gaps
        is_current  INTEGER NOT NULL,
        payload     TEXT NOT NULL,           -- JSON
        PRIMARY KEY (kind, name, version)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "publications" VALUES('table','segments',1,1,'{"kind":"table","name":"segments","version":1,"dataset":{"manifest":"runs/segments/1","digest":"d","rows":1,"bytes":1},"run":"01kaqxb3t10000000000000001","stage":"orders","at":1763886600000}');
CREATE TABLE records (
        run_id      TEXT NOT NULL,
        sequence    INTEGER NOT NULL,
        version     INTEGER NOT NULL,
        checksum    INTEGER NOT NULL,        -- CRC-32C over run, sequence, version and payload
        payload     TEXT NOT NULL,           -- JSON
        PRIMARY KEY (run_id, sequence)
    ) STRICT;
INSERT INTO "records" VALUES('01kaqxb3t10000000000000001',1,1,3202995793,'{"run_submitted":{"run":"01kaqxb3t10000000000000001","at":1763886600000,"workflow":{"name":"retail","description":null,"params":{},"stages":{"orders":{"name":"orders","description":null,"uses":"ingest/files","version":0,"with":{"map":{}},"needs":[],"condition":null,"retry":{"attempts":3,"initial":{"secs":1,"nanos":0},"factor":2.0,"max":{"secs":60,"nanos":0},"on":{"transient":true,"resource_exhausted":true}},"timeout":null,"placement":{"queue":"default","priority":0},"memory":null,"outputs":[]}}},"bundle":"b1","params":{}}}');
INSERT INTO "records" VALUES('01kaqxb3t10000000000000001',2,1,3947804461,'{"attempt_assigned":{"token":{"epoch":1,"attempt":{"run":"01kaqxb3t10000000000000001","stage":"orders","attempt":1}},"worker":"w1","at":1763886600000}}');
INSERT INTO "records" VALUES('01kaqxb3t10000000000000001',3,1,3107345744,'{"stage_succeeded":{"token":{"epoch":1,"attempt":{"run":"01kaqxb3t10000000000000001","stage":"orders","attempt":1}},"outcome":{"outputs":{},"metrics":{},"artifacts":[]},"published":[{"kind":"table","name":"segments","version":1,"dataset":{"manifest":"runs/segments/1","digest":"d","rows":1,"bytes":1}}],"at":1763886600000}}');
INSERT INTO "records" VALUES('01kaqxb3t10000000000000001',4,1,3741847728,'{"run_finished":{"run":"01kaqxb3t10000000000000001","status":"succeeded","failure":null,"at":1763886600000}}');
INSERT INTO "records" VALUES('01kaqxb3t20000000000000002',1,1,245354520,'{"run_submitted":{"run":"01kaqxb3t20000000000000002","at":1763886600000,"workflow":{"name":"retail","description":null,"params":{},"stages":{"orders":{"name":"orders","description":null,"uses":"ingest/files","version":0,"with":{"map":{}},"needs":[],"condition":null,"retry":{"attempts":3,"initial":{"secs":1,"nanos":0},"factor":2.0,"max":{"secs":60,"nanos":0},"on":{"transient":true,"resource_exhausted":true}},"timeout":null,"placement":{"queue":"default","priority":0},"memory":null,"outputs":[]}}},"bundle":"b1","params":{},"request_id":"nightly-2"}}');
INSERT INTO "records" VALUES('01kaqxb3t20000000000000002',2,1,2031656345,'{"attempt_assigned":{"token":{"epoch":1,"attempt":{"run":"01kaqxb3t20000000000000002","stage":"orders","attempt":1}},"worker":"w1","at":1763886600000}}');
CREATE TABLE runs (
        run_id           TEXT PRIMARY KEY,
        name             TEXT NOT NULL,
        status           TEXT NOT NULL,
        request_id       TEXT UNIQUE,
        submitted_at     INTEGER NOT NULL,   -- milliseconds since 1970, UTC
        finished_at      INTEGER,            -- null while the run is unfinished
        last_sequence    INTEGER NOT NULL,   -- how many records the run has
        summary          TEXT NOT NULL       -- what lists show, as JSON, stage counts included
    ) STRICT, WITHOUT ROWID;
INSERT INTO "runs" VALUES('01kaqxb3t10000000000000001','retail','succeeded',NULL,1763886600000,1763886600000,4,'{"run":"01kaqxb3t10000000000000001","workflow":"retail","status":"succeeded","submitted_at":1763886600000,"finished_at":1763886600000,"stages":{"total":1,"succeeded":1,"failed":0,"skipped":0},"failure":null}');
INSERT INTO "runs" VALUES('01kaqxb3t20000000000000002','retail','running','nightly-2',1763886600000,NULL,2,'{"run":"01kaqxb3t20000000000000002","workflow":"retail","status":"running","submitted_at":1763886600000,"finished_at":null,"stages":{"total":1,"succeeded":0,"failed":0,"skipped":0},"failure":null}');
CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE snapshots (
        run_id      TEXT PRIMARY KEY,
        sequence    INTEGER NOT NULL,
        version     INTEGER NOT NULL,
        checksum    INTEGER NOT NULL,
        payload     TEXT NOT NULL
    ) STRICT;
CREATE INDEX runs_by_name ON runs (name, run_id);
CREATE INDEX runs_by_status ON runs (status, run_id);
CREATE INDEX runs_unfinished ON runs (run_id) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX publications_current ON publications (kind, name) WHERE is_current;
COMMIT;
