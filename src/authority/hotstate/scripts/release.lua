-- release(meta, answer, reservation, expiries, outbox, window..., lot...;
--         offset_ms, checked, operation, request)
--
-- Gives an uncommitted reservation back; one that is released or expired stays as it is.
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, MISSING, MISPLACED, STATE.

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local first = first_answer(KEYS[2], KEYS[5], ARGV[4])
if first then
  return first
end
if must_look_up(meta, ARGV[2]) then
  return { 'LOOK_UP' }
end
local held = read_reservation(KEYS[3])
if not held then
  return { 'MISSING' }
end
if held.fields.state == 'COMMITTED' then
  return { 'STATE', held.fields.state, held.fields.commit_key }
end
local deltas = {}
if held.fields.state == 'HELD' then
  local problem = read_held(held, 6, {})
  if problem then
    return problem
  end
  local keys = { reservation = KEYS[3], expiries = KEYS[4] }
  deltas = give_back(meta, keys, held, 'RELEASED')
end
return record(meta, KEYS[2], KEYS[5], ARGV[4], {
  operation = ARGV[3],
  reservation = held.fields,
  deltas = deltas,
})
