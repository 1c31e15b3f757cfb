-- record(fields)
--
-- Claims an idempotency key for an operation that moves no counts, such as a grant: its effect is
-- the ledger's. `fields` is JSON whose amounts are strings; it becomes part of the result.
-- Answers DONE, REPLAYED, REUSED, LOOK_UP.

verbs.record = function(fields)
  return record({ more = fields })
end
