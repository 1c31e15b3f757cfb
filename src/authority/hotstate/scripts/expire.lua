-- expire(meta, reservation, expiries, outbox, window...; offset_ms, operation, request)
--
-- Gives back a reservation whose time has passed. Safe to call twice and from many processes.
-- Answers DONE, NOT_LOADED, MISSING, STATE (settled before), NOT_DUE.

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local reservation, legs, refs = read_reservation(KEYS[2])
if not reservation then
  return { 'MISSING' }
end
if reservation.state ~= 'HELD' then
  redis.call('ZREM', KEYS[3], reservation.id)
  return { 'STATE', reservation.state, reservation.commit_key }
end
if meta.now < tonumber(reservation.expires) then
  return { 'NOT_DUE' }
end
local windows = read_windows(KEYS, 5, refs)
if not windows or windows.err then
  return windows or { 'MISSING' }
end
local keys = { reservation = KEYS[2], expiries = KEYS[3] }
local deltas = give_back(meta, keys, reservation, legs, windows, 'EXPIRED')
return record(meta, '', KEYS[4], ARGV[3], {
  operation = ARGV[2],
  reservation = reservation,
  deltas = deltas,
})
