-- refund(legs, (ref, expires, grace, id)...)
--
-- Gives back a charge, or all that is left of it if no leg is named, to the windows and, in reverse
-- order, to the lots that it was taken from. On HELD it releases, and gives back what parts of it
-- were charged. `legs` is `UNIT:amount UNIT:amount`. Behind it are the lots that may be restored
-- when they have expired: when that is, for how long, and the id of the new grant.
-- Answers DONE, REPLAYED, REUSED, LOOK_UP, MISSING, MISPLACED, STATE, EXCEEDS (unit, refundable).

-- Returns why the amounts can't be refunded.
local function excess(held, amounts, asked, charged)
  for unit, amount in pairs((charged or held.state ~= 'HELD') and asked or {}) do
    local leg = held.legs[unit]
    local refundable = leg and leg.charged - leg.refunded or 0
    if amount > refundable then
      return { 'EXCEEDS', unit, fmt(refundable) }
    end
  end
  -- No count may pass the largest amount: an adjustment may have left a window less room than that.
  for _, counts in ipairs(charged and held.windows or {}) do
    local room = AMOUNT_MAX - counts.f
    if amounts[counts.unit] > room then
      return { 'EXCEEDS', counts.unit, fmt(room) }
    end
  end
  return nil
end

-- Gives an amount back to the lots of a unit; adds to `restored` what is to be granted anew.
local function refund_lots(held, unit, amount, restores, restored)
  for i = #held.lots, 1, -1 do
    local receipt = held.lots[i]
    local is_of_unit = receipt.counts.unit == unit
    local part = is_of_unit and math.min(receipt.charged - receipt.refunded, amount) or 0
    add(receipt.counts, 0, 0, part)
    receipt.refunded = receipt.refunded + part
    amount = amount - part
    local restore = restores[receipt.ref]
    if part > 0 and restore and meta.now >= tonumber(restore.expires) then
      restored[#restored + 1] = string.format('%s,%s,%d,%d',
        restore.id, receipt.id, part, meta.now + tonumber(restore.grace))
    end
  end
end

verbs.refund = function(legs, ...)
  local held = read_reservation()
  if not held then
    return { 'MISSING' }
  end
  local charged = false
  for _, leg in pairs(held.legs) do
    charged = charged or leg.charged > 0
  end
  if not charged and (held.state == 'RELEASED' or held.state == 'EXPIRED') then
    return { 'STATE', held.state, '' }
  end
  local problem = read_held(held)
  if problem then
    return problem
  end

  local asked, amounts, restores, rows = read_legs(legs), {}, {}, { ... }
  for unit, leg in pairs(held.legs) do
    amounts[unit] = legs ~= '' and (asked[unit] or 0) or leg.charged - leg.refunded
  end
  problem = excess(held, amounts, asked, charged)
  if problem then
    return problem
  end
  for i = 1, #rows, 4 do
    restores[rows[i]] = { expires = rows[i + 1], grace = rows[i + 2], id = rows[i + 3] }
  end

  local moves, restored = {}, {}
  if held.state == 'HELD' then
    give_back(held, 'RELEASED')
  end
  for i = 1, charged and #held.units or 0 do
    local unit = held.units[i]
    local leg, amount = held.legs[unit], amounts[unit]
    for _, counts in ipairs(held.windows) do
      if counts.unit == unit then
        add(counts, 0, 0, amount)
      end
    end
    if amount > 0 then
      leg.refunded = leg.refunded + amount
      moves[#moves + 1] = string.format('%s,0,0,%d', unit, amount)
    end
    refund_lots(held, unit, amount, restores, restored)
  end
  return record({
    reservation = write_reservation(held),
    deltas = deltas(),
    moves = table.concat(moves, ' '),
    restored = table.concat(restored, ' '),
  })
end
