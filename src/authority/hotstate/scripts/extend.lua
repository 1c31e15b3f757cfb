-- extend(ttl, life, legs, refused)
--
-- Lets a reservation live longer, and holds more in the units and windows that it has, all or none.
-- `ttl` and `life`, the longest from its creation, are in ms; `legs` is `UNIT:amount UNIT:amount`.
-- Answers DONE, REPLAYED, REUSED, LOOK_UP, STALE_POLICY, MISSING, MISPLACED, STATE, NOT_HELD (a
-- unit that the reservation does not hold), LEASE.

verbs.extend = function(ttl, life, legs, refused_text)
  local held = read_reservation()
  if not held then
    return { 'MISSING' }
  elseif held.state ~= 'HELD' or meta.now >= tonumber(held.expires) then
    return { 'STATE', held.state == 'HELD' and 'EXPIRED' or held.state, held.commit_key }
  end
  local context = context_of()
  if meta.policy ~= context.policy then
    return { 'STALE_POLICY', meta.policy }
  end
  local problem = read_held(held)
  if problem or context.is_missing then
    return problem or { 'MISSING' }
  end
  read_refused(refused_text)
  local windows = {}
  for i, counts in ipairs(held.windows) do
    local limit = context.limits[i]
    local is_leased, denies = type(limit) == 'string', limit and limit ~= 'soft'
    if is_leased then
      limit = lease_of(counts.ref)
      if not limit then
        return { 'MISSING' }
      end
    end
    windows[i] = {
      unit = counts.unit, counts = counts, amount = limit or AMOUNT_MAX,
      enforcement = denies and 'BLOCK' or 'NOTIFY', is_leased = is_leased,
    }
  end
  local amounts, units = read_legs(legs)
  for _, unit in ipairs(units) do
    if not held.legs[unit] then
      return { 'NOT_HELD', unit }
    end
  end

  local limits, shorts = limiting(windows, amounts, true), shortages(context.pools, amounts)
  if limits or shorts then
    local denied = {
      reason = '', retry = '0', limiting = limits, shortages = shorts, next_expiry = next_expiry(),
    }
    return record({
      reservation = packed_reservation(held), more = cjson.encode({ denied = denied }),
    })
  end

  local asked = lacking({ has_leases = context.has_leases, windows = windows }, amounts)
  if asked then
    return asked
  end
  hold(held, windows, context.pools, amounts)
  local longest = tonumber(held.created) + tonumber(life)
  local expires = math.min(meta.now + tonumber(ttl), longest)
  held.expires = fmt(math.max(tonumber(held.expires), expires))
  set_expiry(held.id, held.expires)
  return record({ reservation = write_reservation(held), deltas = deltas() })
end
