"""The tables, for SQLite: those of the first release, and what each later step changed. No step is ever edited.

Times are integer epoch seconds, JSON is text, so that another engine needs other DDL but no other rows.
"""

from __future__ import annotations

FIRST_RELEASE: tuple[str, ...] = (
    # One row per client. `epoch` starts at the time of creation and only grows, so that a record that was
    # removed and made again never repeats one under which a token still lives.
    """CREATE TABLE clients (
        client_id TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        trust_domain TEXT,
        state TEXT NOT NULL,
        rule TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        last_used_at INTEGER NOT NULL,
        expires_at INTEGER,
        ended_at INTEGER,
        parent TEXT,
        identities INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        UNIQUE (kind, subject)
    ) STRICT""",
    # Lists are ordered by client_id, so each index of a list ends with it.
    "CREATE INDEX clients_by_trust_domain ON clients (trust_domain, client_id)",
    "CREATE INDEX clients_by_rule ON clients (rule, client_id)",
    "CREATE INDEX clients_by_parent ON clients (parent, client_id) WHERE parent IS NOT NULL",
    "CREATE INDEX clients_by_state ON clients (state, client_id) WHERE state <> 'active'",
    "CREATE INDEX clients_by_subject ON clients (subject) WHERE subject <> client_id",
    "CREATE INDEX clients_idle ON clients (expires_at) WHERE state IN ('active', 'pending')",
    "CREATE INDEX clients_pending ON clients (last_used_at) WHERE state = 'pending'",
    "CREATE INDEX clients_ended ON clients (ended_at) WHERE state IN ('expired', 'revoked')",
    # The SPIFFE IDs seen under a shared client.
    """CREATE TABLE members (
        client_id TEXT NOT NULL,
        spiffe_id TEXT NOT NULL,
        state TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        first_seen_at INTEGER NOT NULL,
        last_used_at INTEGER NOT NULL,
        expires_at INTEGER,
        ended_at INTEGER,
        PRIMARY KEY (client_id, spiffe_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX members_by_spiffe_id ON members (spiffe_id)",
    "CREATE INDEX members_idle ON members (expires_at) WHERE state = 'active'",
    "CREATE INDEX members_ended ON members (ended_at) WHERE state IN ('expired', 'revoked')",
    "CREATE TABLE tombstones (subject TEXT NOT NULL PRIMARY KEY, denied_at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE approvals (
        client_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        digest TEXT NOT NULL,
        asked_at INTEGER NOT NULL,
        approved_at INTEGER,
        note TEXT NOT NULL,
        PRIMARY KEY (client_id, rule, digest)
    ) STRICT, WITHOUT ROWID""",
    # Kept with each change of a record, so that neither a scrape nor a limit ever counts a million rows.
    """CREATE TABLE client_counts (
        trust_domain TEXT NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        records INTEGER NOT NULL,
        PRIMARY KEY (trust_domain, kind, state)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE registration_buckets (
        trust_domain TEXT NOT NULL PRIMARY KEY,
        level INTEGER NOT NULL,
        filled_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE markers (
        kind TEXT NOT NULL,
        digest TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (kind, digest)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX markers_stale ON markers (expires_at)",
    # How many markers there are, and up to which end they may have been swept.
    """CREATE TABLE marker_usage (
        one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
        held INTEGER NOT NULL,
        swept_until INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO marker_usage (one, held, swept_until) VALUES (1, 0, 0)",
    "CREATE TABLE revoked_tokens (jti TEXT NOT NULL PRIMARY KEY, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX revoked_tokens_stale ON revoked_tokens (expires_at)",
    """CREATE TABLE signing_keys (
        kid TEXT NOT NULL PRIMARY KEY,
        alg TEXT NOT NULL,
        public_jwk TEXT NOT NULL,
        sealed BLOB NOT NULL,
        created_at INTEGER NOT NULL,
        signs_from INTEGER,
        retires_at INTEGER
    ) STRICT""",
    """CREATE TABLE leases (
        name TEXT NOT NULL PRIMARY KEY,
        holder TEXT NOT NULL,
        ends_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE probes (one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), written INTEGER NOT NULL) STRICT""",
    # The audit log. `rowid` is the order of writing; no row is ever updated.
    """CREATE TABLE audit (
        rowid INTEGER NOT NULL PRIMARY KEY,
        time INTEGER NOT NULL,
        id TEXT NOT NULL,
        event TEXT NOT NULL,
        door TEXT NOT NULL,
        source_address TEXT NOT NULL,
        subject TEXT NOT NULL,
        evidence TEXT NOT NULL,
        credential TEXT NOT NULL,
        key_id TEXT NOT NULL,
        ask TEXT NOT NULL,
        rule TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason TEXT NOT NULL,
        client_id TEXT NOT NULL,
        jti TEXT NOT NULL,
        issued TEXT NOT NULL,
        policy_version TEXT NOT NULL,
        bundle_sequence INTEGER,
        count INTEGER NOT NULL,
        writer TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        mac BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX audit_by_id ON audit (id)",
    "CREATE INDEX audit_by_time ON audit (time)",
    "CREATE INDEX audit_but_tokens ON audit (event) WHERE event <> 'token_issued'",
    # Every process that writes audit rows is a writer with a chain of its own. `link` chains the writers
    # in the order in which they joined; `sequence` and `mac` are the head, sealed so that it cannot be
    # moved back to an earlier row.
    """CREATE TABLE audit_writers (
        writer TEXT NOT NULL PRIMARY KEY,
        position INTEGER NOT NULL UNIQUE,
        started_at INTEGER NOT NULL,
        link BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        mac BLOB NOT NULL,
        seal BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE audit_roster (
        one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
        writers INTEGER NOT NULL,
        link BLOB NOT NULL,
        seal BLOB NOT NULL
    ) STRICT""",
    # Up to where each writer's chain was pruned. `faults` counts what was found wrong in the pruned rows.
    """CREATE TABLE audit_checkpoints (
        writer TEXT NOT NULL PRIMARY KEY,
        sequence INTEGER NOT NULL,
        mac BLOB NOT NULL,
        removed INTEGER NOT NULL,
        faults INTEGER NOT NULL,
        pruned_before INTEGER NOT NULL,
        pruned_at INTEGER NOT NULL,
        seal BLOB NOT NULL
    ) STRICT""",
)

# Step 2: where a record came from, whom it counts against where there is no trust domain, buckets of every
# kind, and the management of registrations.
REGISTRATION: tuple[str, ...] = (
    "ALTER TABLE clients ADD COLUMN provenance TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE clients ADD COLUMN quota TEXT",
    "ALTER TABLE client_counts RENAME COLUMN trust_domain TO quota",
    """CREATE INDEX clients_leased ON clients (parent, expires_at)
       WHERE parent IS NOT NULL AND state IN ('active', 'pending')""",
    "CREATE INDEX approvals_waiting ON approvals (client_id, rule) WHERE approved_at IS NULL",
    # `kind` is a limit's name, `key` whose bucket it is. `level` is in sixtieths of a token, `per_minute` and
    # `burst` the terms of the last one who took a token; from `full_at` on the row says nothing any more.
    """CREATE TABLE buckets (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        level INTEGER NOT NULL,
        filled_at INTEGER NOT NULL,
        per_minute INTEGER NOT NULL,
        burst INTEGER NOT NULL,
        full_at INTEGER NOT NULL,
        PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX buckets_by_fill ON buckets (kind, full_at)",
    # Terms are not stored with the old buckets; each is full within seconds anyway.
    "DROP TABLE registration_buckets",
    # One row per record whose registration may be managed; it is void once the record's epoch is another.
    """CREATE TABLE management (
        client_id TEXT NOT NULL PRIMARY KEY,
        handle TEXT NOT NULL UNIQUE,
        epoch INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        digest TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)

# Step 3: documents and key sets that were fetched from outside.
DOCUMENTS: tuple[str, ...] = (
    """CREATE TABLE documents (
        kind TEXT NOT NULL,
        url TEXT NOT NULL,
        body BLOB NOT NULL,
        digest TEXT NOT NULL,
        etag TEXT NOT NULL,
        fetched_at INTEGER NOT NULL,
        fresh_until INTEGER NOT NULL,
        must_revalidate INTEGER NOT NULL,
        PRIMARY KEY (kind, url)
    ) STRICT""",
    "CREATE INDEX documents_by_age ON documents (fetched_at)",
    # Who asks a URL now, or until when nobody is to. A row goes with its answer, so there are never more than
    # fetches under way and servers that were just found dead.
    """CREATE TABLE document_fetches (
        kind TEXT NOT NULL,
        url TEXT NOT NULL,
        holder TEXT NOT NULL,
        ends_at INTEGER NOT NULL,
        PRIMARY KEY (kind, url)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX document_fetches_ended ON document_fetches (ends_at)",
)

# Step 4: the code flow. What goes over a wire stands here as its hex SHA-256 alone.
CODE_FLOW: tuple[str, ...] = (
    # `expires_at`: until when any browser may open it. `browser` is the last that did. `ends_at` is the same end
    # until it is opened, and then until when that browser may decide.
    """CREATE TABLE requests (
        handle TEXT NOT NULL PRIMARY KEY,
        client_id TEXT NOT NULL,
        request TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        ends_at INTEGER NOT NULL,
        browser TEXT
    ) STRICT""",
    "CREATE INDEX requests_ended ON requests (ends_at)",
    """CREATE TABLE grants (
        grant_id TEXT NOT NULL PRIMARY KEY,
        code_digest TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL,
        user_name TEXT NOT NULL,
        client_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        evidence TEXT NOT NULL,
        door TEXT NOT NULL,
        scopes TEXT NOT NULL,
        resources TEXT NOT NULL,
        redirect_uri TEXT NOT NULL,
        code_challenge TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        code_expires_at INTEGER NOT NULL,
        ends_at INTEGER NOT NULL,
        actor TEXT,
        epoch TEXT,
        dpop_jkt TEXT,
        fingerprint TEXT NOT NULL,
        pushed_transaction TEXT,
        metadata TEXT NOT NULL,
        code_used_at INTEGER,
        generation INTEGER NOT NULL,
        refresh_expires_at INTEGER,
        ended_at INTEGER
    ) STRICT""",
    "CREATE INDEX grants_ended ON grants (ends_at)",
    "CREATE INDEX grants_by_user ON grants (user_id, created_at, grant_id) WHERE ended_at IS NULL",
    """CREATE TABLE sessions (
        digest TEXT NOT NULL PRIMARY KEY,
        user_id TEXT NOT NULL,
        user_name TEXT NOT NULL,
        signed_in_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX sessions_ended ON sessions (expires_at)",
    # `seen_at`: when the user last agreed to something or signed in.
    """CREATE TABLE consents (
        user_id TEXT NOT NULL,
        client_id TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        scopes TEXT NOT NULL,
        resources TEXT NOT NULL,
        agreed_at INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        PRIMARY KEY (user_id, client_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX consents_unseen ON consents (seen_at)",
    # Kept with each change, as `client_counts` is. Grants count as long as they have not ended.
    "CREATE TABLE flow_counts (what TEXT NOT NULL PRIMARY KEY, held INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT INTO flow_counts (what, held) VALUES ('requests', 0), ('grants', 0), ('sessions', 0)",
)

# Step 5: bundles that are fetched from endpoints.
POLLED_BUNDLES: tuple[str, ...] = (
    # One row per place that a trust domain's bundle is or was fetched from. `sequence` is an unsigned 64-bit number,
    # more than an INTEGER holds. `holder` asks the place until `asked_until`. A row that nobody has written but for
    # asking has version 0.
    """CREATE TABLE polled_bundles (
        trust_domain TEXT NOT NULL,
        source TEXT NOT NULL,
        digest TEXT NOT NULL,
        etag TEXT NOT NULL,
        sequence TEXT,
        confirmed_at INTEGER NOT NULL,
        asked_at INTEGER NOT NULL,
        early_at INTEGER NOT NULL,
        refresh_at INTEGER NOT NULL,
        fault TEXT NOT NULL,
        reason TEXT NOT NULL,
        failures INTEGER NOT NULL,
        bootstrap TEXT NOT NULL,
        seal BLOB NOT NULL,
        version INTEGER NOT NULL,
        asked_until INTEGER NOT NULL,
        holder TEXT NOT NULL,
        body BLOB,
        PRIMARY KEY (trust_domain, source)
    ) STRICT""",
    # Whoever follows the changes reads behind the version that it saw last.
    "CREATE INDEX polled_bundles_by_version ON polled_bundles (version)",
    "CREATE INDEX polled_bundles_by_age ON polled_bundles (asked_at)",
    # Apart from the rows, so that no number comes twice when rows are removed.
    "CREATE TABLE polled_versions (one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL) STRICT",
    "INSERT INTO polled_versions (one, last) VALUES (1, 0)",
)

# Step 6: which keys each trust domain had when that was last audited, as JSON.
NOTED_KEYS: tuple[str, ...] = (
    "CREATE TABLE noted_keys (trust_domain TEXT NOT NULL PRIMARY KEY, keys TEXT NOT NULL) STRICT, WITHOUT ROWID",
)

# Step 7: who vouched for what outlives the credential that brought it, as JSON (`model.authority.text_of`): the lease
# of an instance, and a grant. Nobody is known for those of before.
AUTHORITIES: tuple[str, ...] = (
    "ALTER TABLE clients ADD COLUMN authorities TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE grants ADD COLUMN authorities TEXT NOT NULL DEFAULT '[]'",
)

# Step 8: what the receiver of the webhook is still to be told. Empty, and never written to, without a webhook.
NOTICES: tuple[str, ...] = (
    """CREATE TABLE notices (
        position INTEGER NOT NULL PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        client_id TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL,
        queued_at INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        next_at INTEGER NOT NULL,
        error TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX notices_due ON notices (next_at, position) WHERE state = 'waiting'",
    "CREATE INDEX notices_of_client ON notices (client_id, position) WHERE state = 'waiting'",
    "CREATE INDEX notices_dead ON notices (position) WHERE state = 'dead'",
    # How many found the queue full: told of, since what is missing cannot be seen.
    "CREATE TABLE notices_dropped (one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL) STRICT",
    "INSERT INTO notices_dropped (one, number) VALUES (1, 0)",
)

# Step 9: who was used last when, whose grants are whose, and which policies were in force when that was last audited.
UPKEEP: tuple[str, ...] = (
    # Ends with client_id, so that pages by age go on behind any of those that were used in the same second.
    "CREATE INDEX clients_by_use ON clients (last_used_at, client_id)",
    "CREATE INDEX grants_by_client ON grants (client_id, created_at, grant_id) WHERE ended_at IS NULL",
    "CREATE INDEX consents_by_client ON consents (client_id, agreed_at, user_id)",
    "CREATE TABLE noted_policies (one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), version TEXT NOT NULL) STRICT",
)
