-- The books of the first release. A table belongs to the one file in core/books that names it.

-- settings.py
CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

-- ledger.py: customers' accounts store a guarded balance; house accounts are sums of entries.
CREATE TABLE accounts (
  account_id TEXT PRIMARY KEY,
  balance_msat INTEGER NOT NULL CHECK (balance_msat >= 0),
  held_msat INTEGER NOT NULL CHECK (held_msat >= 0 AND held_msat <= balance_msat),
  deposited_msat INTEGER NOT NULL,
  spent_msat INTEGER NOT NULL,
  entry_count INTEGER NOT NULL,
  chain_hash BLOB NOT NULL
) STRICT;

CREATE TABLE transfers (
  transfer_id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  ref TEXT NOT NULL,
  reason TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  hash BLOB NOT NULL
) STRICT;

CREATE TABLE entries (
  transfer_id TEXT NOT NULL REFERENCES transfers (transfer_id),
  leg INTEGER NOT NULL,
  account_id TEXT NOT NULL,
  amount_msat INTEGER NOT NULL CHECK (amount_msat <> 0),
  number INTEGER,
  balance_msat INTEGER,
  chain_hash BLOB,
  PRIMARY KEY (transfer_id, leg)
) STRICT;
CREATE UNIQUE INDEX entries_of_account ON entries (account_id, number);

CREATE TABLE holds (
  hold_id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (account_id),
  amount_msat INTEGER NOT NULL CHECK (amount_msat > 0),
  state TEXT NOT NULL CHECK (state IN ('open', 'posted', 'voided')),
  used_msat INTEGER NOT NULL CHECK (used_msat >= 0 AND used_msat <= amount_msat),
  owner TEXT NOT NULL,
  expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX holds_open ON holds (expires_at_ms) WHERE state = 'open';

-- invoices.py
CREATE TABLE invoices (
  payment_hash TEXT PRIMARY KEY,
  account_id TEXT NOT NULL,
  purpose TEXT NOT NULL CHECK (purpose IN ('eval', 'work', 'deposit', 'topup')),
  bolt11 TEXT NOT NULL,
  amount_msat INTEGER NOT NULL CHECK (amount_msat > 0),
  state TEXT NOT NULL CHECK (state IN ('open', 'paid', 'closed')),
  client TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  paid_at_ms INTEGER
) STRICT;
CREATE INDEX invoices_open ON invoices (expires_at_ms, payment_hash) WHERE state = 'open';
CREATE INDEX invoices_open_of_client ON invoices (client) WHERE state = 'open';
CREATE INDEX invoices_of_account ON invoices (account_id, created_at_ms);

-- jobs.py
CREATE TABLE jobs (
  job_id TEXT PRIMARY KEY,
  session_id TEXT,
  token_id BLOB NOT NULL,
  caveats TEXT NOT NULL,
  client TEXT NOT NULL,
  state TEXT NOT NULL,
  version INTEGER NOT NULL,
  request TEXT,
  metadata TEXT,
  model_id TEXT NOT NULL,
  max_price_sats INTEGER,
  eval_fee_msat INTEGER NOT NULL CHECK (eval_fee_msat >= 0),
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  ended_at_ms INTEGER,
  wait_until_ms INTEGER,
  deadline_at_ms INTEGER,
  due_at_ms INTEGER,
  lease_owner TEXT,
  attempt INTEGER NOT NULL,
  eval_calls INTEGER NOT NULL,
  bad_verdicts INTEGER NOT NULL,
  work_calls INTEGER NOT NULL,
  price_sats INTEGER,
  quote_input_tokens INTEGER,
  quote_output_tokens INTEGER,
  quote_expires_at_ms INTEGER,
  reason TEXT,
  result TEXT,
  model TEXT,
  usage_input_tokens INTEGER,
  usage_output_tokens INTEGER,
  error_code TEXT,
  error_message TEXT
) STRICT;
CREATE INDEX jobs_due ON jobs (due_at_ms) WHERE state IN ('evaluating', 'executing');
CREATE INDEX jobs_waiting ON jobs (wait_until_ms)
  WHERE state IN ('awaiting_eval_payment', 'evaluating', 'awaiting_work_payment');
CREATE INDEX jobs_overdue ON jobs (deadline_at_ms) WHERE state = 'executing';
CREATE INDEX jobs_ended ON jobs (ended_at_ms) WHERE ended_at_ms IS NOT NULL AND request IS NOT NULL;
CREATE INDEX jobs_final ON jobs (state) WHERE state IN ('rejected', 'complete', 'failed');
CREATE INDEX jobs_of_session ON jobs (session_id, created_at_ms) WHERE session_id IS NOT NULL;

CREATE TABLE job_versions (
  job_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (job_id, version)
) STRICT;

-- refunds.py: what is owed back. own_msat pays its own routing fee, house_msat does not.
CREATE TABLE refunds (
  refund_id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('due', 'sending', 'paid', 'unknown', 'credited')),
  house_msat INTEGER NOT NULL CHECK (house_msat >= 0),
  own_msat INTEGER NOT NULL CHECK (own_msat >= 0),
  amount_msat INTEGER NOT NULL CHECK (amount_msat >= 0),
  fee_msat INTEGER NOT NULL CHECK (fee_msat >= 0),
  destination TEXT,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX refunds_due ON refunds (account_id) WHERE state = 'due';
CREATE INDEX refunds_of_account ON refunds (account_id, created_at_ms);

-- payouts.py: one invoice that a refund pays. A payment hash is paid once, whoever asks.
CREATE TABLE payouts (
  payment_hash TEXT PRIMARY KEY,
  refund_id TEXT NOT NULL,
  account_id TEXT NOT NULL,
  bolt11 TEXT NOT NULL,
  invoice_expires_at_ms INTEGER NOT NULL,
  amount_msat INTEGER NOT NULL CHECK (amount_msat > 0),
  own_fee_msat INTEGER NOT NULL CHECK (own_fee_msat >= 0),
  house_fee_msat INTEGER NOT NULL CHECK (house_fee_msat >= 0),
  state TEXT NOT NULL CHECK (state IN ('ready', 'begun', 'paid', 'failed', 'not_sent')),
  owner TEXT,
  begun_at_ms INTEGER,
  failed_at_ms INTEGER,
  look_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX payouts_due ON payouts (look_at_ms) WHERE state IN ('ready', 'begun');
CREATE INDEX payouts_of_refund ON payouts (refund_id);
CREATE UNIQUE INDEX payouts_live ON payouts (refund_id) WHERE state IN ('ready', 'begun');
CREATE INDEX payouts_of_house ON payouts (begun_at_ms) WHERE house_fee_msat > 0;

-- idempotency.py
CREATE TABLE idempotency_keys (
  principal TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'stored')),
  owner TEXT NOT NULL,
  answer BLOB,
  expires_at_ms INTEGER NOT NULL,
  PRIMARY KEY (principal, key)
) STRICT;
CREATE INDEX idempotency_expiry ON idempotency_keys (expires_at_ms);

-- processes.py: who is alive on this database.
CREATE TABLE processes (
  process_id TEXT PRIMARY KEY,
  seen_at_ms INTEGER NOT NULL
) STRICT;

-- allowances.py
CREATE TABLE free_uses (
  what TEXT NOT NULL,
  client TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX free_uses_at ON free_uses (what, at_ms);

-- sessions.py: one customer, one ledger account, named by the session's id.
CREATE TABLE sessions (
  session_id TEXT PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('awaiting_deposit', 'active', 'closed', 'ended')),
  is_challenge INTEGER NOT NULL CHECK (is_challenge IN (0, 1)),
  client TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  wait_until_ms INTEGER
) STRICT;
CREATE INDEX sessions_unpaid ON sessions (wait_until_ms) WHERE state = 'awaiting_deposit';
CREATE INDEX sessions_challenged ON sessions (client, created_at_ms)
  WHERE state = 'awaiting_deposit' AND is_challenge = 1;

-- credentials.py: the tokens that spend a session; a child names its parent. The first
-- inherited_count of its caveats are those of the token that asked for it, which may be a copy.
CREATE TABLE credentials (
  token_id BLOB PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  session_id TEXT NOT NULL,
  parent_id BLOB,
  payment_hash BLOB NOT NULL,
  needs_preimage INTEGER NOT NULL CHECK (needs_preimage IN (0, 1)),
  label TEXT NOT NULL,
  caveats TEXT NOT NULL,
  inherited_count INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  revoked_at_ms INTEGER
) STRICT;
CREATE INDEX credentials_of_session ON credentials (session_id, created_at_ms);
CREATE INDEX credentials_of_parent ON credentials (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX credentials_of_challenge ON credentials (payment_hash) WHERE needs_preimage = 1;

-- budgets.py: counters that every token carrying the same budget shares.
CREATE TABLE budgets (
  session_id TEXT NOT NULL,
  budget_id TEXT NOT NULL,
  used_msat INTEGER NOT NULL CHECK (used_msat >= 0),
  held_msat INTEGER NOT NULL CHECK (held_msat >= 0),
  PRIMARY KEY (session_id, budget_id)
) STRICT;
CREATE TABLE budget_holds (
  hold_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  budget_id TEXT NOT NULL,
  amount_msat INTEGER NOT NULL CHECK (amount_msat > 0),
  PRIMARY KEY (hold_id, budget_id)
) STRICT;
