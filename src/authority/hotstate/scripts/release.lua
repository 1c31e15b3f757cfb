-- release(meta, answer, reservation, expiries, outbox, window...; offset_ms, checked, operation, request)
--
-- Gives an uncommitted reservation back; one that is released or expired stays as it is.
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, MISSING, STATE.

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
local reservation, legs, refs = read_reservation(KEYS[3])
if not reservation then
  return { 'MISSING' }
end
if reservation.state == 'COMMITTED' then
  return { 'STATE', reservation.state, reservation.commit_key }
end
local deltas = {}
if reservation.state == 'HELD' then
  local windows = read_windows(KEYS, 6, refs)
  if not windows or windows.err then
    return windows or { 'MISSING' }
  end
  local keys = { reservation = KEYS[3], expiries = KEYS[4] }
  deltas = give_back(meta, keys, reservation, legs, windows, 'RELEASED')
end
return record(meta, KEYS[2], KEYS[5], ARGV[4], {
  operation = ARGV[3],
  reservation = reservation,
  deltas = deltas,
})
