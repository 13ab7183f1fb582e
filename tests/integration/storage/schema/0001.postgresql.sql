-- The tables of version 0001. Never changed once that version is released.

CREATE TABLE audit_events (
    id BIGSERIAL NOT NULL,
    request TEXT NOT NULL,
    number INTEGER NOT NULL,
    at TEXT NOT NULL,
    event TEXT NOT NULL,
    actor TEXT,
    team TEXT,
    detail TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    posted_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT one_event_per_number UNIQUE (request, number)
);

CREATE INDEX audit_events_by_time ON audit_events (at);

CREATE INDEX unposted_events ON audit_events (id) WHERE posted_at IS NULL;

CREATE TABLE audit_webhook (
    id INTEGER NOT NULL,
    starts_after BIGINT NOT NULL,
    lease_owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE chain_head (
    id INTEGER NOT NULL,
    reference TEXT NOT NULL,
    PRIMARY KEY (id)
);

INSERT INTO chain_head (id, reference) VALUES (1, '');

CREATE TABLE job_facts (
    project_id TEXT NOT NULL,
    cluster_name TEXT NOT NULL,
    job_id TEXT NOT NULL,
    expected_at BIGINT NOT NULL,
    live_since BIGINT,
    until BIGINT,
    ended TEXT,
    phase TEXT NOT NULL,
    started_by TEXT NOT NULL,
    feed_link TEXT,
    PRIMARY KEY (project_id, cluster_name, job_id)
);

CREATE INDEX observed_links ON job_facts (project_id, live_since) WHERE live_since IS NOT NULL;

CREATE TABLE requests (
    id TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    project_id TEXT NOT NULL,
    project_name TEXT NOT NULL,
    cluster_name TEXT NOT NULL,
    job_id TEXT NOT NULL,
    team TEXT NOT NULL,
    requester TEXT NOT NULL,
    asked_in TEXT NOT NULL,
    channel TEXT NOT NULL,
    reason TEXT NOT NULL,
    shown TEXT NOT NULL,
    approvals_needed INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT,
    delete_count INTEGER DEFAULT '0' NOT NULL,
    delete_accepted BOOLEAN DEFAULT false NOT NULL,
    delete_unknown BOOLEAN DEFAULT false NOT NULL,
    outcome TEXT DEFAULT '{}' NOT NULL,
    card_channel TEXT,
    card_ts TEXT,
    moved_because TEXT,
    acted_alone BOOLEAN DEFAULT false NOT NULL,
    reviewed_by TEXT,
    reviewed_at BIGINT,
    next_notice_at BIGINT,
    grace_ends_at BIGINT,
    seen_at BIGINT,
    event_count INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (key)
);

CREATE INDEX ended_requests ON requests (changed_at) WHERE state NOT IN ('awaiting', 'approved', 'cancelling', 'quarantined');

CREATE UNIQUE INDEX one_open_request_per_job ON requests (project_id, cluster_name, job_id) WHERE state IN ('awaiting', 'approved', 'cancelling', 'quarantined');

CREATE INDEX open_requests ON requests (state, expires_at) WHERE state IN ('awaiting', 'approved', 'cancelling', 'quarantined');

CREATE INDEX requests_of_the_bot ON requests (project_id, created_at) WHERE requester = '';

CREATE INDEX planned_notices ON requests (next_notice_at) WHERE state = 'awaiting' AND next_notice_at IS NOT NULL;

CREATE INDEX requests_by_job ON requests (job_id);

CREATE INDEX requests_by_time ON requests (created_at);

CREATE INDEX unreviewed_requests ON requests (created_at) WHERE acted_alone AND reviewed_by IS NULL;

CREATE TABLE watch_leases (
    project_id TEXT NOT NULL,
    lease_owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    feed_gap_at BIGINT,
    all_read_at BIGINT,
    PRIMARY KEY (project_id)
);

CREATE TABLE watched_clusters (
    project_id TEXT NOT NULL,
    cluster_name TEXT NOT NULL,
    first_read_at BIGINT,
    PRIMARY KEY (project_id, cluster_name)
);

CREATE TABLE watched_jobs (
    id BIGSERIAL NOT NULL,
    project_id TEXT NOT NULL,
    cluster_name TEXT NOT NULL,
    job_id TEXT NOT NULL,
    state TEXT NOT NULL,
    shown TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    version INTEGER NOT NULL,
    channel TEXT,
    ts TEXT,
    quarantine TEXT,
    PRIMARY KEY (id),
    CONSTRAINT one_row_per_watched_job UNIQUE (project_id, cluster_name, job_id)
);

CREATE INDEX open_watched_jobs ON watched_jobs (project_id) WHERE state IN ('in_progress', 'link_live');

CREATE TABLE approvals (
    request TEXT NOT NULL,
    "user" TEXT NOT NULL,
    at BIGINT NOT NULL,
    voided_at BIGINT,
    PRIMARY KEY (request, "user"),
    FOREIGN KEY(request) REFERENCES requests (id) ON DELETE CASCADE
);

CREATE TABLE posts (
    id BIGSERIAL NOT NULL,
    request TEXT,
    watched_job BIGINT,
    priority INTEGER DEFAULT '0' NOT NULL,
    kind TEXT NOT NULL,
    recipient TEXT,
    edits BIGINT,
    event TEXT,
    actor TEXT,
    at BIGINT NOT NULL,
    detail TEXT NOT NULL,
    client_msg_id TEXT NOT NULL,
    state TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT,
    channel TEXT,
    ts TEXT,
    error TEXT,
    PRIMARY KEY (id),
    CONSTRAINT one_subject_per_post CHECK ((request IS NULL) <> (watched_job IS NULL)),
    FOREIGN KEY(request) REFERENCES requests (id) ON DELETE CASCADE,
    FOREIGN KEY(watched_job) REFERENCES watched_jobs (id) ON DELETE CASCADE,
    UNIQUE (client_msg_id)
);

CREATE INDEX announcements_by_time ON posts (at) WHERE watched_job IS NOT NULL;

CREATE INDEX due_announcements ON posts (watched_job, id) WHERE state = 'due';

CREATE INDEX due_posts ON posts (request, id) WHERE state = 'due';

CREATE INDEX due_posts_in_order ON posts (priority, id) WHERE state = 'due';

CREATE INDEX ix_posts_request ON posts (request);
