-- charges(): how much of a cost may be charged, glued on behind the limits.

-- How much may be charged in all: no count may pass the largest amount.
local function room_of(held, context, unit)
  local most = AMOUNT_MAX
  for i = 1, #held.windows do
    local counts = held.windows[i]
    most = counts.unit == unit and math.min(most, AMOUNT_MAX - counts.c) or most
  end
  for i = 1, #held.lots do
    local receipt = held.lots[i]
    local counts = receipt.counts
    most = counts.unit == unit and math.min(most, AMOUNT_MAX - counts.c) or most
  end
  for i = 1, #context.lots do
    local lot = context.lots[i]
    most = lot.unit == unit and math.min(most, AMOUNT_MAX - lot.counts.c) or most
  end
  return most
end

-- How much is free above the hold, of which `base` is charged: in the tightest window, and in the
-- grants of a prepaid unit. Nothing is in a unit that nothing meters. Unless it is `within` leases, it
-- is what would be free if these had no end.
local function free_above(held, context, unit, base, within)
  local pool, leg = context.pools[unit], held.legs[unit]
  local free, metered = AMOUNT_MAX, debtor_of(pool, held, unit) ~= nil
  for i = 1, #held.windows do
    local counts = held.windows[i]
    if counts.unit == unit then
      metered = true
      local limit = context.limits[i]
      if type(limit) == 'string' then
        limit = within and limit == 'lease' and context.rule ~= 'DEBT' and lease_of(counts.ref)
      end
      if limit then
        local left = limit + (counts.f - counts.c) - (counts.r - leg.held) - base
        free = math.min(free, math.max(left, 0))
      end
    end
  end
  if pool and context.rule ~= 'DEBT' then
    -- What comes late takes its hold from the lots once more.
    free = math.min(free, math.max(free_of(pool, free) - (held.is_held and 0 or base), 0))
  end
  return metered and free or 0
end

-- What a commit is charged first: its hold. A late one is charged it all the same, as that money had
-- been admitted.
local function own_of(held, leg)
  return held.is_held and leg.held or math.max(leg.reserved - leg.charged, 0)
end

-- Returns what is to be asked for before costs are charged, nil if nothing is; and whether a lease is
-- not loaded.
local function lacking_above(held, context, costs)
  local asked
  for i = 1, context.has_leases and #held.windows or 0 do
    local counts = held.windows[i]
    local leg, cost = held.legs[counts.unit], costs[counts.unit]
    if type(context.limits[i]) == 'string' and cost then
      local lease = lease_of(counts.ref)
      if not lease then
        return nil, true
      end
      local base = math.min(cost, own_of(held, leg))
      local more = held.is_held and 0 or base
      if context.rule ~= 'CAP' and cost > base then
        more = more + math.min(cost - base, free_above(held, context, counts.unit, base, false))
      end
      if more > 0 and more > lease - used_of(counts) and not refused[counts.ref] then
        asked = ask(asked, counts, more)
      end
    end
  end
  return asked, false
end
