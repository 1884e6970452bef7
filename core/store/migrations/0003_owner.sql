-- What the operator decides, and whose money stands still meanwhile.

-- actions.py: what the operator did, and why; rows are never changed.
CREATE TABLE operator_actions (
  number INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  reason TEXT NOT NULL
) STRICT;

-- freezes.py: accounts whose money neither goes out nor is spent until the operator has looked.
CREATE TABLE freezes (
  account_id TEXT PRIMARY KEY,
  reason TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;
