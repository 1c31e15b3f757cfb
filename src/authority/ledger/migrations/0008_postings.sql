-- An operation's entries become one row, a posting, and `ledger_entry` a view of the postings: what
-- reads entries reads the same rows and columns as before.

-- No version before this one was ever released: there is no client to break and no busy table to block.
-- squawk-ignore renaming-table
ALTER TABLE ledger_entry RENAME TO ledger_entry_before;
-- squawk-ignore renaming-table
ALTER TABLE ledger_entry_other RENAME TO ledger_entry_other_before;

-- Immutable. The entries of an operation, in their order: `books` and `units` have a letter for each,
-- `amounts` a number. Those in a window's books come first, and have its budget's key and its start;
-- those in an account's books have neither.
CREATE TABLE ledger_posting (
    operation_id uuid NOT NULL,
    tenant text NOT NULL,
    sequence bigint NOT NULL,
    create_time timestamptz NOT NULL,
    account text NOT NULL,
    reservation_id text,
    books text NOT NULL,
    units text NOT NULL,
    budget_keys bigint [] NOT NULL,
    window_starts_ms bigint [] NOT NULL,
    amounts bigint [] NOT NULL,
    CONSTRAINT ledger_posting_complete CHECK (
        length(books) = cardinality(amounts) AND length(units) = cardinality(amounts)
        AND cardinality(budget_keys) = cardinality(window_starts_ms) AND cardinality(budget_keys) <= cardinality(amounts)
    )
) PARTITION BY RANGE (create_time);
CREATE INDEX ledger_posting_by_tenant ON ledger_posting (tenant, sequence);
CREATE TABLE ledger_posting_other PARTITION OF ledger_posting DEFAULT;

-- The letters in a posting, and what they stand for.
CREATE FUNCTION ledger_book(letter text) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN CASE letter
    WHEN 'A' THEN 'AVAILABLE' WHEN 'R' THEN 'RESERVED' WHEN 'C' THEN 'COMMITTED' WHEN 'F' THEN 'REFUNDED'
    WHEN 'H' THEN 'CHARGED' WHEN 'B' THEN 'ABSORBED' WHEN 'P' THEN 'PROVIDER'
    WHEN 'G' THEN 'GRANTED' WHEN 'I' THEN 'ISSUED'
END;
CREATE FUNCTION ledger_unit(letter text) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN CASE letter
    WHEN 'U' THEN 'USD' WHEN 'C' THEN 'CREDITS' WHEN 'I' THEN 'IMAGES' WHEN 'V' THEN 'VIDEOS'
    WHEN 'M' THEN 'MESSAGES' WHEN 'R' THEN 'RESERVATIONS'
END;

CREATE VIEW ledger_entry AS
SELECT
    posting.operation_id,
    (entry.line - 1)::smallint AS line,
    posting.tenant,
    posting.sequence,
    posting.account,
    posting.reservation_id,
    ledger_book(entry.book) AS book,
    entry.budget_key,
    entry.window_start_ms,
    ledger_unit(entry.unit) AS unit,
    entry.amount,
    posting.create_time
FROM ledger_posting AS posting
CROSS JOIN LATERAL unnest(
    string_to_array(posting.books, NULL), posting.budget_keys, posting.window_starts_ms,
    string_to_array(posting.units, NULL), posting.amounts
) WITH ORDINALITY AS entry (book, budget_key, window_start_ms, unit, amount, line);

CREATE OR REPLACE FUNCTION ensure_ledger_month(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamptz := date_trunc('month', moment, 'UTC');
    next_day timestamptz := date_trunc('month', first_day + interval '32 days', 'UTC');
    partition_name text := 'ledger_posting_' || to_char(first_day AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(partition_name) IS NOT NULL OR EXISTS (
        SELECT 1 FROM ledger_posting_other WHERE create_time >= first_day AND create_time < next_day
    ) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF ledger_posting FOR VALUES FROM (%L) TO (%L)',
        partition_name, first_day, next_day
    );
END $$;

SELECT ensure_ledger_month(month)
FROM (SELECT DISTINCT date_trunc('month', create_time, 'UTC') AS month FROM ledger_entry_before) AS used;

INSERT INTO ledger_posting (operation_id, tenant, sequence, create_time, account, reservation_id, books, units,
                            budget_keys, window_starts_ms, amounts)
SELECT
    entry.operation_id, entry.tenant, entry.sequence, entry.create_time, entry.account, entry.reservation_id,
    string_agg(book.letter, '' ORDER BY entry.line),
    string_agg(unit.letter, '' ORDER BY entry.line),
    coalesce(array_agg(entry.budget_key ORDER BY entry.line) FILTER (WHERE entry.budget_key IS NOT NULL), '{}'),
    coalesce(array_agg(entry.window_start_ms ORDER BY entry.line) FILTER (WHERE entry.budget_key IS NOT NULL), '{}'),
    array_agg(entry.amount ORDER BY entry.line)
FROM ledger_entry_before AS entry
JOIN unnest(string_to_array('ARCFHBPGI', NULL)) AS book (letter) ON ledger_book(book.letter) = entry.book
JOIN unnest(string_to_array('UCIVMR', NULL)) AS unit (letter) ON ledger_unit(unit.letter) = entry.unit
GROUP BY entry.operation_id, entry.tenant, entry.sequence, entry.create_time, entry.account, entry.reservation_id;

-- Nothing may be lost on the way, nor come behind another book than before.
DO $$
BEGIN
    IF EXISTS (
        (SELECT operation_id, line, book, budget_key, window_start_ms, unit, amount FROM ledger_entry_before
         EXCEPT ALL
         SELECT operation_id, line, book, budget_key, window_start_ms, unit, amount FROM ledger_entry)
    ) THEN
        RAISE EXCEPTION 'the postings do not have the same entries as before';
    END IF;
END $$;
-- squawk-ignore ban-drop-table
DROP TABLE ledger_entry_before;

-- A tenant's operations have no gap and no two have one place, so the place names an operation as
-- well as its id does, and is where the ledger is asked whether it has one.
-- squawk-ignore ban-drop-constraint
ALTER TABLE operation DROP CONSTRAINT operation_pkey;
-- squawk-ignore adding-serial-primary-key-field, disallowed-unique-constraint, constraint-missing-not-valid
ALTER TABLE operation ADD PRIMARY KEY (tenant, sequence);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX operation_by_sequence;

-- A settled reservation leaves the index of its tenant's open ones.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX reservation_by_tenant;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX reservation_open ON reservation (tenant) WHERE state = 'HELD';

-- Every transaction updates the windows that its operations count in: with room in its page, a row
-- is updated without a touch of its indexes, and the page is tidied without a vacuum.
ALTER TABLE window_total SET (fillfactor = 70);
