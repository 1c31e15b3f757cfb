-- record(meta, answer, outbox; offset_ms, checked, operation, request, fields)
--
-- Claims an idempotency key for an operation that moves no counts, such as a grant: its effect is
-- the ledger's. `fields` is JSON whose amounts are strings; they become fields of the result.
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP.

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local first = first_answer(KEYS[2], KEYS[3], ARGV[4])
if first then
  return first
end
if must_look_up(meta, ARGV[2]) then
  return { 'LOOK_UP' }
end
local result = cjson.decode(ARGV[5])
result.operation = ARGV[3]
return record(meta, KEYS[2], KEYS[3], ARGV[4], result)
