-- adjust(amounts, refused)
--
-- Charges an account more or less than was committed, in the windows of now. Never denied, but for
-- what can't be counted. `amounts` is `UNIT:amount UNIT:amount`, and may be below zero.
-- Answers DONE, REPLAYED, REUSED, LOOK_UP, STALE_POLICY, MOVED, MISSING,
-- EXCEEDS (unit, what can still be counted), LEASE.

verbs.adjust = function(legs, refused_text)
  local context = context_of()
  if meta.policy ~= context.policy then
    return { 'STALE_POLICY', meta.policy }
  elseif context.is_over then
    return { 'MOVED', now_text }
  elseif context.is_missing then
    return { 'MISSING' }
  end
  local amounts, units = read_legs(legs)
  for _, rows in ipairs({ context.windows, context.lots }) do
    for _, row in ipairs(rows) do
      local most = AMOUNT_MAX - math.max(row.counts.c, row.counts.f)
      if math.abs(amounts[row.unit] or 0) > most then
        return { 'EXCEEDS', row.unit, fmt(most) }
      end
    end
  end
  read_refused(refused_text)
  local asked = lacking(context, amounts)
  if asked then
    return asked
  end
  local function take(lot, part)
    add(lot.counts, 0, part, 0)
  end
  local moves, charged = {}, {}
  for i, unit in ipairs(units) do
    local amount, pool = amounts[unit], context.pools[unit]
    for _, window in ipairs(context.windows) do
      if window.unit == unit then
        add(window.counts, 0, math.max(amount, 0), math.max(-amount, 0))
      end
    end
    if amount > 0 and pool then
      local owed = spend(pool, amount, take)
      if owed > 0 and #pool.lots > 0 then
        take(pool.lots[#pool.lots], owed)
      end
    end
    moves[i] = string.format('%s,0,%d,0', unit, amount)
  end
  for i, window in ipairs(context.windows) do
    charged[i] = window.counts
  end
  return record({
    deltas = deltas(), moves = table.concat(moves, ' '), more = crossed(context, charged),
  })
end
