-- extend(meta, answer, reservation, expiries, outbox, window..., lot..., further lot...;
--        offset_ms, checked, operation, request, command)
--
-- Lets a reservation live longer, and holds more in the units and windows that it has, all or none.
-- `command` is JSON: policy; ttl and life (the longest from its creation), in ms; legs (amount by
-- unit); limits (one for each window, false where none denies); prepaid, lots, more as for commit.
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, STALE_POLICY, MISSING, MISPLACED, STATE,
-- NOT_HELD (a unit that the reservation does not hold).

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local request = ARGV[4]
local first = first_answer(KEYS[2], KEYS[5], request)
if first then
  return first
end
if must_look_up(meta, ARGV[2]) then
  return { 'LOOK_UP' }
end
local command = cjson.decode(ARGV[5])
local held = read_reservation(KEYS[3])
if not held then
  return { 'MISSING' }
end
local fields = held.fields
if fields.state ~= 'HELD' or meta.now >= tonumber(fields.expires) then
  return { 'STATE', fields.state == 'HELD' and 'EXPIRED' or fields.state, fields.commit_key }
end
if meta.policy ~= command.policy then
  return { 'STALE_POLICY', meta.policy }
end
local problem = read_held(held, 6, command.more)
if problem then
  return problem
end
for i, window in ipairs(held.windows) do
  window.amount = tonumber(command.limits[i] or AMOUNT_MAX)
  window.enforcement = command.limits[i] and 'BLOCK' or 'NOTIFY'
end
local pools = make_pools(meta, command.prepaid, command.lots, held.counted)
local amounts = {}
for unit, amount in pairs(command.legs) do
  if not held.legs[unit] then
    return { 'NOT_HELD', unit }
  end
  amounts[unit] = tonumber(amount)
end

local denied = { reason = '', retry = '0', next_expiry = '0' }
denied.limiting = limiting(held.windows, amounts, true)
denied.shortages = shortages(pools, amounts)
if #denied.limiting + #denied.shortages > 0 then
  denied.next_expiry = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2] or '0'
  return record(meta, KEYS[2], KEYS[5], request, {
    operation = ARGV[3],
    reservation = fields,
    denied = denied,
  })
end

local deltas = {}
hold(held, held.windows, pools, amounts, deltas)
local longest = tonumber(fields.created) + tonumber(command.life)
local expires = math.min(meta.now + tonumber(command.ttl), longest)
fields.expires = fmt(math.max(tonumber(fields.expires), expires))
write_reservation(KEYS[3], held)
redis.call('ZADD', KEYS[4], fields.expires, fields.id)
return record(meta, KEYS[2], KEYS[5], request, {
  operation = ARGV[3],
  reservation = fields,
  deltas = deltas,
})
