-- Money back by itself: links that claim a debt, addresses that debts go to, ids that stay.

-- refunds.py: claim_id is the public half of what a wallet shows to claim a debt that is due.
ALTER TABLE refunds ADD COLUMN claim_id TEXT;
CREATE UNIQUE INDEX refunds_claimed ON refunds (claim_id) WHERE claim_id IS NOT NULL;

-- refunds.py: a debt that has joined another; its id stands for that one.
CREATE TABLE joined_refunds (
  refund_id TEXT PRIMARY KEY,
  into_id TEXT NOT NULL
) STRICT;
CREATE INDEX joined_refunds_into ON joined_refunds (into_id);

-- refund_orders.py: where a job's debts go by themselves, and when that is tried next.
CREATE TABLE refund_orders (
  job_id TEXT PRIMARY KEY,
  address TEXT NOT NULL,
  tries INTEGER NOT NULL CHECK (tries >= 0),
  try_at_ms INTEGER
) STRICT;
CREATE INDEX refund_orders_due ON refund_orders (try_at_ms) WHERE try_at_ms IS NOT NULL;
