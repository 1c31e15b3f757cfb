-- commit(meta, answer, reservation, expiries, outbox, window..., lot..., further lot...;
--        offset_ms, checked, operation, request, command)
--
-- Charges a reservation its actual cost: what it holds first, then by the overage policy.
-- `command` is JSON: policy; key; overage; final, force; receipt; actual (amount by unit); limits
-- (one for each window, false where none binds a charge above the hold); prepaid (units); lots
-- (ref, id, unit, amount, effective, expires, in the order in which they are spent); more (refs of
-- those that the reservation did not name).
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, STALE_POLICY, MISSING, MISPLACED, STATE.

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
if fields.state == 'COMMITTED' or (fields.state == 'RELEASED' and not command.force) then
  return { 'STATE', fields.state, fields.commit_key }
end
if meta.policy ~= command.policy then
  return { 'STALE_POLICY', meta.policy }
end
local problem = read_held(held, 6, command.more)
if problem then
  return problem
end
local pools = make_pools(meta, command.prepaid, command.lots, held.counted)
local is_held = fields.state == 'HELD'

-- A cost in a unit that was not held has no window to be charged to: it is recorded as absorbed.
for unit in pairs(command.actual) do
  if not held.legs[unit] then
    held.legs[unit] = { reserved = 0, held = 0, actual = 0, charged = 0, refunded = 0 }
    held.units[#held.units + 1] = unit
  end
end

-- What may be charged in all, and what above the hold: what the tightest window, and the grants of
-- a prepaid unit, have free. No count may pass the largest amount. Nothing may be charged in a unit
-- that nothing meters.
local function bounds(unit, leg, base)
  local most, free, metered = AMOUNT_MAX, AMOUNT_MAX, debtor_of(pools[unit], held, unit) ~= nil
  for i, window in ipairs(held.windows) do
    if window.unit == unit then
      metered = true
      most = math.min(most, AMOUNT_MAX - window.c)
      if command.limits[i] then
        local limit = tonumber(command.limits[i])
        local left = limit + (window.f - window.c) - (window.r - leg.held) - base
        free = math.min(free, math.max(left, 0))
      end
    end
  end
  for _, lot in pairs(held.counted) do
    most = lot.unit == unit and math.min(most, AMOUNT_MAX - lot.c) or most
  end
  if pools[unit] and command.overage ~= 'DEBT' then
    -- What comes late takes its hold from the lots once more.
    free = math.min(free, math.max(free_of(pools[unit], free) - (is_held and 0 or base), 0))
  end
  return most, metered and free or 0
end

local deltas, moves = {}, {}

-- Charges the lots: first what the reservation had taken, in the order in which it was taken, then
-- what else there is. What nobody has is a debt of the last one.
local function charge_lots(unit, base, extra)
  for _, receipt in ipairs(held.lots) do
    local lot = held.counted[receipt.ref]
    if lot.unit == unit then
      local own = is_held and receipt.held or math.max(receipt.reserved - receipt.charged, 0)
      local part = math.min(own, base)
      add(lot, deltas, is_held and -part or 0, part, 0)
      receipt.charged = receipt.charged + part
      receipt.held = is_held and receipt.held - part or 0
      base = base - part
    end
  end
  if extra > 0 and pools[unit] then
    local debtor = debtor_of(pools[unit], held, unit)
    local function take(lot, part)
      add(lot, deltas, 0, part, 0)
      local receipt = receipt_of(held, lot)
      receipt.charged = receipt.charged + part
    end
    local owed = spend(pools[unit], extra, take)
    if owed > 0 and debtor then
      take(debtor, owed)
    end
  end
end

for i, unit in ipairs(held.units) do
  local leg, cost = held.legs[unit], tonumber(command.actual[unit] or '0')
  -- A late commit is charged its hold all the same: that money had been admitted.
  local own = is_held and leg.held or math.max(leg.reserved - leg.charged, 0)
  local base = math.min(cost, own, (bounds(unit, leg, 0)))
  local extra = 0
  if command.overage ~= 'CAP' then
    local most, free = bounds(unit, leg, base)
    extra = math.min(cost - base, most - base, free)
  end
  charge_lots(unit, base, extra)
  for _, window in ipairs(held.windows) do
    if window.unit == unit then
      add(window, deltas, is_held and -base or 0, base + extra, 0)
    end
  end
  leg.held = is_held and leg.held - base or 0
  leg.actual, leg.charged = leg.actual + cost, leg.charged + base + extra
  moves[i] = { unit, fmt(cost), fmt(base + extra), '0' }
end

if not is_held or meta.now >= tonumber(fields.expires) then
  fields.late = '1'
end
if command.receipt ~= '' then
  fields.receipt = command.receipt
end
if command.final then
  fields.commit_key = command.key
  for _, delta in ipairs(give_back(meta, { reservation = KEYS[3], expiries = KEYS[4] }, held, 'COMMITTED')) do
    deltas[#deltas + 1] = delta
  end
else
  write_reservation(KEYS[3], held)
end
return record(meta, KEYS[2], KEYS[5], request, {
  operation = ARGV[3],
  reservation = fields,
  deltas = deltas,
  moves = moves,
})
