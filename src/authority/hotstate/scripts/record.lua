-- record(fields, moves)
--
-- Claims an idempotency key for an operation that moves no counts, such as a grant: its effect is
-- the ledger's. `fields` is JSON whose amounts are strings; it becomes part of the result.
-- `moves` is what it adds to the cost of its account: `UNIT,actual,charged,refunded`, or nothing.
-- Answers DONE, REPLAYED, REUSED, LOOK_UP.

verbs.record = function(fields, moves)
  return record({ more = fields, moves = moves })
end
