-- reserve(meta, answer, reservation, expiries, outbox, window...;
--         offset_ms, checked, operation, request, policy, account, reservation_id, ttl_ms, labels,
--         refusal, may_reclaim, windows, (ref, unit, limit, enforcement, start_ms, end_ms)...,
--         options, (metered, legs, (unit, amount)...)...)
--
-- Holds the first option that fits on every window, or denies with every window in the way.
-- `refusal` is the account's own reason to be denied, or ''. `metered` is '0' for an option with a
-- money leg that no budget meters.
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, STALE_POLICY, MOVED (a window has ended),
-- MISSING (a window is not loaded), RECLAIM (expired reservations are in the way).

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
if meta.policy ~= ARGV[5] then
  return { 'STALE_POLICY', meta.policy }
end

local at = 12
local function take()
  at = at + 1
  return ARGV[at - 1]
end

-- The windows in force, with their numbers.
local windows = {}
for i = 1, tonumber(take()) do
  local ref, unit, limit, enforcement = take(), take(), tonumber(take()), take()
  local start_ms, end_ms = tonumber(take()), tonumber(take())
  if end_ms > 0 and (meta.now < start_ms or meta.now >= end_ms) then
    return { 'MOVED', fmt(meta.now) }
  end
  local key = KEYS[5 + i]
  local window = read_window(key)
  if not window then
    return { 'MISSING' }
  end
  window.key, window.ref, window.unit = key, ref, unit
  window.limit, window.enforcement = limit, enforcement
  windows[i] = window
end

local options = {}
for i = 1, tonumber(take()) do
  local option = { metered = take() == '1', legs = {}, units = {} }
  for j = 1, tonumber(take()) do
    local unit, amount = take(), tonumber(take())
    option.legs[unit], option.units[j] = amount, unit
  end
  options[i] = option
end

-- Returns the windows that do not allow the option. Even a budget that never denies keeps its
-- counts exact, so nothing may pass the largest amount.
local function limiting(option, is_last)
  local rows = {}
  for _, window in ipairs(windows) do
    local amount = option.legs[window.unit]
    if amount then
      local denies = window.enforcement == 'BLOCK'
        or (window.enforcement == 'DOWNGRADE' and not is_last)
      local free = window.limit + (window.f - window.c) - window.r
      local overflows = window.r + window.c + amount > AMOUNT_MAX
      if (denies and amount > free) or overflows then
        rows[#rows + 1] = {
          window.ref, fmt(window.limit), fmt(window.r), fmt(window.c), fmt(window.f), fmt(amount),
        }
      end
    end
  end
  return rows
end

local chosen, blocked = nil, {}
if ARGV[10] == '' then
  for i, option in ipairs(options) do
    blocked = limiting(option, i == #options)
    if option.metered and #blocked == 0 then
      chosen = i
      break
    end
  end
end

if not chosen then
  local expired = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', fmt(meta.now), 'LIMIT', 0, 16)
  if #expired > 0 and ARGV[11] == '1' and ARGV[10] == '' then
    return { 'RECLAIM', unpack(expired) }
  end
  local reason = ARGV[10]
  if reason == '' and not options[#options].metered then
    reason = 'NO_BUDGET'
  end
  local earliest = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  return record(meta, KEYS[2], KEYS[5], request, {
    operation = ARGV[3],
    denied = { reason = reason, limiting = blocked, next_expiry = earliest[2] or '0' },
  })
end

local option, deltas, refs = options[chosen], {}, {}
for _, window in ipairs(windows) do
  local amount = option.legs[window.unit]
  if amount then
    add(window, deltas, amount, 0, 0)
    refs[#refs + 1] = window.ref
  end
end
local legs = { by_unit = {}, units = option.units }
for unit, amount in pairs(option.legs) do
  legs.by_unit[unit] = { reserved = amount, held = amount, actual = 0, charged = 0, refunded = 0 }
end
local expires = fmt(meta.now + tonumber(ARGV[8]))
local reservation = {
  id = ARGV[7],
  account = ARGV[6],
  state = 'HELD',
  option = fmt(chosen - 1),
  labels = ARGV[9],
  windows = table.concat(refs, ' '),
  late = '0',
  created = fmt(meta.now),
  expires = expires,
  settled = '0',
  commit_key = '',
}
write_reservation(KEYS[3], reservation, legs)
redis.call('PEXPIRE', KEYS[3], KEEP_MS + tonumber(ARGV[8]))
redis.call('ZADD', KEYS[4], expires, reservation.id)
return record(meta, KEYS[2], KEYS[5], request, {
  operation = ARGV[3],
  reservation = reservation,
  deltas = deltas,
})
