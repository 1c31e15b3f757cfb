-- expire(meta, reservation, expiries, outbox, window..., lot...; offset_ms, operation, request)
--
-- Gives back a reservation whose time has passed. Safe to call twice and from many processes.
-- Answers DONE, NOT_LOADED, MISSING, MISPLACED, STATE (settled before), NOT_DUE.

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local held = read_reservation(KEYS[2])
if not held then
  return { 'MISSING' }
end
if held.fields.state ~= 'HELD' then
  redis.call('ZREM', KEYS[3], held.fields.id)
  return { 'STATE', held.fields.state, held.fields.commit_key }
end
if meta.now < tonumber(held.fields.expires) then
  return { 'NOT_DUE' }
end
local problem = read_held(held, 5, {})
if problem then
  return problem
end
local keys = { reservation = KEYS[2], expiries = KEYS[3] }
local deltas = give_back(meta, keys, held, 'EXPIRED')
return record(meta, '', KEYS[4], ARGV[3], {
  operation = ARGV[2],
  reservation = held.fields,
  deltas = deltas,
})
