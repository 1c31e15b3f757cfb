-- reserve(meta, answer, reservation, expiries, outbox, window..., lot..., rate...;
--         offset_ms, checked, operation, request, command)
--
-- Holds the first option that fits on every window and grant, or denies with all that is in the
-- way. `command` is JSON, with amounts and times as strings:
--   policy, id, account, ttl, labels, mode, may_reclaim
--   refusal   the account's own reason to be denied, or ''; capped: no option may be asked for
--   windows   ref, unit, limit, enforcement, may_owe, start, finish: of every budget in force
--   lots      ref, id, unit, amount, effective, expires, start, finish: in the order of spending
--   prepaid   the units that must be covered by grants
--   rates     how many Reserves a minute, one for each rate key
--   options   refusal (its own reason never to be held, or ''), units, amounts (by unit)
-- Answers DONE, CHECKED, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, STALE_POLICY, MOVED (a window has
-- ended), MISSING (a window is not loaded), RECLAIM (expired reservations are in the way).

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local request, command = ARGV[4], cjson.decode(ARGV[5])
local is_check = command.mode == 'CHECK_ONLY'
if not is_check then
  local first = first_answer(KEYS[2], KEYS[5], request)
  if first then
    return first
  end
  if must_look_up(meta, ARGV[2]) then
    return { 'LOOK_UP' }
  end
end
if meta.policy ~= command.policy then
  return { 'STALE_POLICY', meta.policy }
end

local windows, by_ref = {}, {}
for i, row in ipairs(command.windows) do
  local window, problem = read_named(meta, row, 5 + i)
  if problem then
    return problem
  end
  window.amount, window.enforcement = tonumber(row.limit), row.enforcement
  window.may_owe = row.may_owe
  windows[i] = window
end
for i, row in ipairs(command.lots) do
  local lot, problem = read_named(meta, row, 5 + #windows + i)
  if problem then
    return problem
  end
  by_ref[row.ref] = lot
end
local pools = make_pools(meta, command.prepaid, command.lots, by_ref)

local last = command.options[#command.options]
for _, option in ipairs(command.options) do
  for unit, amount in pairs(option.amounts) do
    option.amounts[unit] = tonumber(amount)
  end
end
local open_one = limiting(windows, { RESERVATIONS = 1 }, true)
local denied = { reason = '', limiting = {}, shortages = {}, retry = '0' }
local chosen, is_in_the_way, rated = nil, false, {}
-- The order in which it is checked: the account, the request, open reservations, the rate, budgets, grants.
if command.refusal ~= '' then
  denied.reason = command.refusal
elseif command.capped then
  denied.reason = 'PER_REQUEST_CAP'
elseif #open_one > 0 then
  denied.reason, denied.limiting, is_in_the_way = 'CONCURRENCY_CAP', open_one, true
else
  local retry
  retry, rated = rate(meta, 6 + #windows + #command.lots, command.rates)
  if retry > 0 then
    denied.reason, denied.retry = 'RATE_LIMITED', fmt(retry)
  else
    for i, option in ipairs(command.options) do
      denied.limiting = limiting(windows, option.amounts, i == #command.options)
      denied.shortages = shortages(pools, option.amounts)
      if option.refusal == '' and #denied.limiting + #denied.shortages == 0 then
        chosen = i
        break
      end
      is_in_the_way = is_in_the_way or option.refusal == ''
    end
    denied.reason = chosen and '' or last.refusal
  end
end

if not chosen and is_in_the_way and command.may_reclaim then
  local expired = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', fmt(meta.now), 'LIMIT', 0, 16)
  if #expired > 0 then
    return { 'RECLAIM', unpack(expired) }
  end
end
local amounts = chosen and command.options[chosen].amounts
if not chosen and denied.reason == '' and command.mode == 'BEST_EFFORT' then
  amounts = best_effort(windows, pools, last.amounts)
  chosen = amounts and #command.options
end
for _, write in ipairs(is_check and {} or rated) do
  redis.call('SET', write[1], write[2], 'PX', 120000)
end

if not chosen then
  denied.next_expiry = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2] or '0'
  local result = { operation = ARGV[3], denied = denied }
  return is_check and check(meta, result) or record(meta, KEYS[2], KEYS[5], request, result)
end

local held = {
  fields = {
    id = command.id, account = command.account, state = 'HELD', option = fmt(chosen - 1),
    labels = command.labels, late = '0', created = fmt(meta.now), settled = '0', commit_key = '',
    expires = fmt(meta.now + tonumber(command.ttl)), receipt = '',
  },
  legs = {}, units = {}, lots = {},
}
for i, unit in ipairs(command.options[chosen].units) do
  held.units[i] = unit
end
local on, refs = {}, {}
for _, window in ipairs(windows) do
  if window.unit == 'RESERVATIONS' and not amounts.RESERVATIONS then
    amounts.RESERVATIONS, held.units[#held.units + 1] = 1, 'RESERVATIONS'
  end
  if amounts[window.unit] then
    on[#on + 1], refs[#refs + 1] = window, window.ref
  end
end
for _, unit in ipairs(held.units) do
  held.legs[unit] = { reserved = 0, held = 0, actual = 0, charged = 0, refunded = 0 }
end
held.fields.windows = table.concat(refs, ' ')
if is_check then
  for unit, amount in pairs(amounts) do
    held.legs[unit].reserved = amount
  end
  return check(meta, { operation = ARGV[3], reservation = as_fields(held) })
end
local deltas = {}
hold(held, on, pools, amounts, deltas)
write_reservation(KEYS[3], held)
redis.call('ZADD', KEYS[4], held.fields.expires, held.fields.id)
return record(meta, KEYS[2], KEYS[5], request, {
  operation = ARGV[3],
  reservation = held.fields,
  deltas = deltas,
})
