-- One balance for several sessions and chats.

-- sessions.py: the session that this one's balance was joined to; its id stands for that one.
ALTER TABLE sessions ADD COLUMN joined_to TEXT;
CREATE INDEX sessions_joined ON sessions (joined_to) WHERE joined_to IS NOT NULL;

-- links.py: codes that join the taker's balance to the maker's. Where the maker made it in a chat,
-- channel, realm and uid say where; else they are empty.
CREATE TABLE links (
  link_id TEXT PRIMARY KEY,
  code_hash BLOB NOT NULL UNIQUE,
  maker_id TEXT NOT NULL,
  taker_id TEXT,
  state TEXT NOT NULL CHECK (state IN ('open', 'taken', 'joined', 'expired')),
  channel TEXT NOT NULL,
  realm TEXT NOT NULL,
  uid TEXT NOT NULL,
  expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX links_of_maker ON links (maker_id);
CREATE INDEX links_of_taker ON links (taker_id) WHERE taker_id IS NOT NULL;
CREATE INDEX links_until ON links (expires_at_ms);
