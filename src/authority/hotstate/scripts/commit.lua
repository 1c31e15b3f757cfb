-- commit(key, final, force, receipt, actual, refused)
--
-- Charges a reservation its actual cost: what it holds first, then by the overage policy, which is
-- the context's rule. `actual` is `UNIT:amount UNIT:amount`.
-- Answers DONE, REPLAYED, REUSED, LOOK_UP, STALE_POLICY, MISSING, MISPLACED, STATE, LEASE.

-- Charges the lots: first what the reservation had taken, in the order in which it was taken, then
-- what else there is. What nobody has is a debt of the last one.
local function charge_lots(held, pool, unit, base, extra)
  for i = 1, #held.lots do
    local receipt = held.lots[i]
    if receipt.counts.unit == unit then
      local own = held.is_held and receipt.held or math.max(receipt.reserved - receipt.charged, 0)
      local part = math.min(own, base)
      add(receipt.counts, held.is_held and -part or 0, part, 0)
      receipt.charged = receipt.charged + part
      receipt.held = held.is_held and receipt.held - part or 0
      base = base - part
    end
  end
  if extra > 0 and pool then
    local debtor = debtor_of(pool, held, unit)
    local function take(lot, part)
      add(lot.counts, 0, part, 0)
      local receipt = receipt_of(held, lot)
      receipt.charged = receipt.charged + part
    end
    local owed = spend(pool, extra, take)
    if owed > 0 and debtor then
      take(debtor, owed)
    end
  end
end

-- Charges the cost in one unit; returns how much of it.
local function charge(held, context, unit, cost)
  local leg, is_held = held.legs[unit], held.is_held
  local own = own_of(held, leg)
  local room = room_of(held, context, unit)
  local base, extra = math.min(cost, own, room), 0
  if context.rule ~= 'CAP' and cost > base then
    extra = math.min(cost - base, room - base, free_above(held, context, unit, base, true))
  end
  charge_lots(held, context.pools[unit], unit, base, extra)
  for i = 1, #held.windows do
    local counts = held.windows[i]
    if counts.unit == unit then
      add(counts, is_held and -base or 0, base + extra, 0)
    end
  end
  leg.held = is_held and leg.held - base or 0
  leg.actual, leg.charged = leg.actual + cost, leg.charged + base + extra
  return base + extra
end

verbs.commit = function(key, final, force, receipt, actual, refused_text)
  local held = read_reservation()
  if not held then
    return { 'MISSING' }
  elseif held.state == 'COMMITTED' or (held.state == 'RELEASED' and force ~= '1') then
    return { 'STATE', held.state, held.commit_key }
  end
  local context = context_of()
  if meta.policy ~= context.policy then
    return { 'STALE_POLICY', meta.policy }
  end
  local problem = read_held(held)
  if problem or context.is_missing then
    return problem or { 'MISSING' }
  end
  held.is_held = held.state == 'HELD'

  -- A cost in a unit that was not held has no window to be charged to: it is recorded as absorbed.
  local costs, units = read_legs(actual)
  for i = 1, #units do
    local unit = units[i]
    if not held.legs[unit] then
      held.legs[unit] = { reserved = 0, held = 0, actual = 0, charged = 0, refunded = 0 }
      held.units[#held.units + 1] = unit
    end
  end
  read_refused(refused_text)
  local asked, is_missing = lacking_above(held, context, costs)
  if asked or is_missing then
    return asked or { 'MISSING' }
  end
  local moves = {}
  for i = 1, #held.units do
    local unit = held.units[i]
    local cost = costs[unit] or 0
    moves[i] = unit .. ',' .. fmt(cost) .. ',' .. fmt(charge(held, context, unit, cost)) .. ',0'
  end
  if not held.is_held or meta.now >= tonumber(held.expires) then
    held.late = '1'
  end
  if receipt ~= '' then
    held.receipt = receipt
  end
  if final == '1' then
    held.commit_key = key
    give_back(held, 'COMMITTED')
  end
  return record({
    reservation = write_reservation(held),
    deltas = deltas(),
    moves = table.concat(moves, ' '),
    more = crossed(context, held.windows),
  })
end
