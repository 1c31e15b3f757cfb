-- commit(meta, answer, reservation, expiries, outbox, window...;
--        offset_ms, checked, operation, request, policy, overage, key,
--        limits, limit..., legs, (unit, amount)...)
--
-- Settles a reservation with its actual cost. One `limit` for each window, '' where none binds a
-- charge above the hold: a budget that does not block, or an account that may be in debt.
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, STALE_POLICY, MISSING, STATE.

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
local reservation, legs, refs = read_reservation(KEYS[3])
if not reservation then
  return { 'MISSING' }
end
if reservation.state == 'COMMITTED' or reservation.state == 'RELEASED' then
  return { 'STATE', reservation.state, reservation.commit_key }
end
if meta.policy ~= ARGV[5] then
  return { 'STALE_POLICY', meta.policy }
end
local windows = read_windows(KEYS, 6, refs)
if not windows or windows.err then
  return windows or { 'MISSING' }
end

local overage, at = ARGV[6], 8
for i = 1, tonumber(ARGV[at]) do
  windows[i].limit = tonumber(ARGV[at + i])
end
at = at + tonumber(ARGV[at]) + 1
local actual = {}
for _ = 1, tonumber(ARGV[at]) do
  actual[ARGV[at + 1]] = tonumber(ARGV[at + 2])
  at = at + 2
end
-- A cost in a unit that was not held has no window to be charged to: it is recorded as absorbed.
for unit in pairs(actual) do
  if not legs.by_unit[unit] then
    legs.by_unit[unit] = { reserved = 0, held = 0, actual = 0, charged = 0, refunded = 0 }
    legs.units[#legs.units + 1] = unit
  end
end

-- What may be charged in all: no count may pass the largest amount, neither by debt nor by late
-- commits of what had expired.
local function countable(unit)
  local least = AMOUNT_MAX
  for _, window in ipairs(windows) do
    if window.unit == unit then
      least = math.min(least, AMOUNT_MAX - window.c)
    end
  end
  return least
end

-- What may be charged above the hold: what the tightest window of the unit still has free. Nothing
-- may be charged in a unit that no window meters.
local function free(unit, leg, base)
  local least, metered = AMOUNT_MAX, false
  for _, window in ipairs(windows) do
    if window.unit == unit then
      metered = true
      if window.limit then
        -- In this order no step that matters leaves the exact numbers.
        local left = window.limit + (window.f - window.c) - (window.r - leg.held) - base
        least = math.min(least, math.max(left, 0))
      end
    end
  end
  return metered and least or 0
end

local deltas, moves, charges = {}, {}, {}
for i, unit in ipairs(legs.units) do
  local leg, cost = legs.by_unit[unit], actual[unit] or 0
  -- A late commit is charged its hold all the same: that money had been admitted.
  local most = countable(unit)
  local base, extra = math.min(cost, leg.reserved, most), 0
  if overage ~= 'CAP' then
    extra = math.min(cost - base, most - base, free(unit, leg, base))
  end
  leg.actual, leg.charged = cost, base + extra
  charges[unit] = leg.charged
  moves[i] = { unit, fmt(cost), fmt(leg.charged), '0' }
end
for _, window in ipairs(windows) do
  local leg = legs.by_unit[window.unit]
  if leg.held > 0 or charges[window.unit] > 0 then
    add(window, deltas, -leg.held, charges[window.unit], 0)
  end
end
for _, leg in pairs(legs.by_unit) do
  leg.held = 0
end

local late = reservation.state == 'EXPIRED' or meta.now >= tonumber(reservation.expires)
reservation.late = late and '1' or '0'
reservation.state = 'COMMITTED'
reservation.settled = fmt(meta.now)
reservation.commit_key = ARGV[7]
write_reservation(KEYS[3], reservation, legs)
redis.call('ZREM', KEYS[4], reservation.id)
return record(meta, KEYS[2], KEYS[5], request, {
  operation = ARGV[3],
  reservation = reservation,
  deltas = deltas,
  moves = moves,
})
