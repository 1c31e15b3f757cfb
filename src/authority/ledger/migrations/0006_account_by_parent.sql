-- Finds the accounts below one, to list them and to move them together.
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX account_by_parent ON account (parent, account);
