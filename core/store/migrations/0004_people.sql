-- People who write to us in a chat. A table belongs to the one file in core/books that names it.

-- people.py: who somebody is on a channel, and whose session they spend. A person is a session.
CREATE TABLE people (
  session_id TEXT PRIMARY KEY,
  token_id BLOB NOT NULL,
  lang TEXT NOT NULL,
  limit_sats INTEGER NOT NULL,
  is_chatting INTEGER NOT NULL CHECK (is_chatting IN (0, 1)),
  was_told_low INTEGER NOT NULL CHECK (was_told_low IN (0, 1)),
  is_blocked INTEGER NOT NULL CHECK (is_blocked IN (0, 1)),
  created_at_ms INTEGER NOT NULL,
  busy_owner TEXT,
  busy_until_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE peers (
  channel TEXT NOT NULL,
  realm TEXT NOT NULL,
  uid TEXT NOT NULL,
  session_id TEXT NOT NULL,
  name TEXT NOT NULL,
  via TEXT NOT NULL,
  is_reachable INTEGER NOT NULL CHECK (is_reachable IN (0, 1)),
  seen_at_ms INTEGER NOT NULL,
  PRIMARY KEY (channel, realm, uid)
) STRICT;
CREATE INDEX peers_of_session ON peers (session_id);

-- inbox.py: what came in, in the order in which it came, and what the books have to tell.
CREATE TABLE inbox (
  session_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  channel TEXT NOT NULL,
  realm TEXT NOT NULL,
  uid TEXT NOT NULL,
  ext_id TEXT NOT NULL,
  body TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('new', 'done', 'dead')),
  tries INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  not_before_ms INTEGER NOT NULL,
  PRIMARY KEY (session_id, number)
) STRICT;
CREATE UNIQUE INDEX inbox_once ON inbox (channel, realm, ext_id);
CREATE INDEX inbox_new ON inbox (not_before_ms, session_id) WHERE state = 'new';
CREATE INDEX inbox_old ON inbox (at_ms) WHERE state <> 'new';

CREATE TABLE reminders (
  session_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  ref TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (session_id, kind, ref)
) STRICT;
CREATE INDEX reminders_at ON reminders (at_ms);

-- outbox.py: what is to be said, and what stands where.
CREATE TABLE outbox (
  number INTEGER PRIMARY KEY,
  channel TEXT NOT NULL,
  realm TEXT NOT NULL,
  uid TEXT NOT NULL,
  slot TEXT NOT NULL,
  body TEXT NOT NULL,
  is_news INTEGER NOT NULL CHECK (is_news IN (0, 1)),
  state TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'parked', 'dead')),
  tries INTEGER NOT NULL,
  doubts INTEGER NOT NULL,
  sent_ids TEXT NOT NULL,
  not_before_ms INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_queued ON outbox (channel, realm, uid, number) WHERE state = 'queued';
CREATE INDEX outbox_parked ON outbox (channel, realm, uid, number) WHERE state = 'parked';
CREATE INDEX outbox_old ON outbox (created_at_ms) WHERE state IN ('sent', 'dead');

CREATE TABLE cards (
  channel TEXT NOT NULL,
  realm TEXT NOT NULL,
  uid TEXT NOT NULL,
  slot TEXT NOT NULL,
  ext_ids TEXT NOT NULL,
  form TEXT NOT NULL,
  digest TEXT NOT NULL,
  shown_at_ms INTEGER NOT NULL,
  PRIMARY KEY (channel, realm, uid, slot)
) STRICT;

CREATE INDEX cards_of_slot ON cards (slot);

-- requests.py: what people asked for, under the codes that they see.
CREATE TABLE requests (
  session_id TEXT NOT NULL,
  code TEXT NOT NULL,
  job_id TEXT,
  text TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('unpaid', 'started', 'dropped')),
  told TEXT NOT NULL,
  version INTEGER NOT NULL,
  once_sats INTEGER NOT NULL,
  channel TEXT NOT NULL,
  realm TEXT NOT NULL,
  uid TEXT NOT NULL,
  message_id TEXT,
  created_at_ms INTEGER NOT NULL,
  PRIMARY KEY (session_id, code)
) STRICT;
CREATE UNIQUE INDEX requests_of_job ON requests (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX requests_unpaid ON requests (created_at_ms) WHERE state = 'unpaid';

CREATE TABLE bills (
  payment_hash TEXT PRIMARY KEY,
  session_id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('check', 'once', 'price', 'topup', 'chat')),
  ref TEXT NOT NULL,
  channel TEXT NOT NULL,
  realm TEXT NOT NULL,
  uid TEXT NOT NULL,
  bolt11 TEXT NOT NULL,
  amount_msat INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  is_paid INTEGER NOT NULL CHECK (is_paid IN (0, 1))
) STRICT;
CREATE INDEX bills_of_ref ON bills (session_id, ref);

-- talks.py: the open question of a talk, and what was said in a chat.
CREATE TABLE prompts (
  channel TEXT NOT NULL,
  realm TEXT NOT NULL,
  uid TEXT NOT NULL,
  kind TEXT NOT NULL,
  ref TEXT NOT NULL,
  body TEXT NOT NULL,
  asked_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  PRIMARY KEY (channel, realm, uid)
) STRICT;

CREATE TABLE turns (
  session_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
  text TEXT NOT NULL,
  cost_msat INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (session_id, number)
) STRICT;

-- posts.py: duties that one process at a time has.
CREATE TABLE posts (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT;

-- jobs.py: what the agent says that it will deliver.
ALTER TABLE jobs ADD COLUMN summary TEXT;
