BEGIN TRANSACTION;
CREATE TABLE canary_journal (
	seq INTEGER NOT NULL, 
	service VARCHAR(80) NOT NULL, 
	previous INTEGER NOT NULL, 
	rollout VARCHAR(64) NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	actor VARCHAR(256) NOT NULL, 
	reason TEXT NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (seq), 
	CONSTRAINT canary_journal_chain UNIQUE (service, previous)
);
INSERT INTO "canary_journal" VALUES(1,'shop',0,'r1','started','2026-01-31T12:00:00.123456Z','ann','release','{"canary": "v2.0", "durations_seconds": [300.0, 600.0, 1800.0], "stable": "v1.0", "traffic": [0.05, 0.25, 1.0]}');
INSERT INTO "canary_journal" VALUES(2,'shop',1,'r1','advanced','2026-01-31T12:05:00.123456Z','alertmanager','CanaryPhaseComplete','{"phase": 1}');
INSERT INTO "canary_journal" VALUES(3,'shop',2,'r1','held','2026-01-31T12:06:00.123456Z','bo','lunch','{"cause": "manual", "lifts": false}');
INSERT INTO "canary_journal" VALUES(4,'shop',3,'r1','resumed','2026-01-31T12:07:00.123456Z','bo','','{}');
INSERT INTO "canary_journal" VALUES(5,'shop',4,'r1','rollback','2026-01-31T12:08:00.123456Z','prometheus','payments of v2.0 fail','{"cause": "CanaryPaymentSuccessDegraded"}');
INSERT INTO "canary_journal" VALUES(6,'shop',5,'r1','step_done','2026-01-31T12:08:00.123456Z','receiver','','{"step": "traffic"}');
INSERT INTO "canary_journal" VALUES(7,'shop',6,'r1','step_done','2026-01-31T12:08:00.123456Z','receiver','','{"step": "process"}');
INSERT INTO "canary_journal" VALUES(8,'shop',7,'r1','rolled_back','2026-01-31T12:09:00.123456Z','receiver','','{}');
INSERT INTO "canary_journal" VALUES(9,'shop',8,'r2','started','2026-01-31T13:00:00.123456Z','ann','again','{"canary": "v2.1", "durations_seconds": [300.0, 600.0, 1800.0], "stable": "v1.0", "traffic": [0.05, 0.25, 1.0]}');
INSERT INTO "canary_journal" VALUES(10,'shop',9,'r2','promoted','2026-01-31T13:10:00.123456Z','ann','fine','{}');
COMMIT;
