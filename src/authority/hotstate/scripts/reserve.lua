-- reserve(id, account, ttl, labels, mode, may_reclaim, options, refused)
--
-- Holds the first option that fits on every window and grant, or denies with all that is in the
-- way. `options` is `refusal tier UNIT:amount UNIT:amount;...`, in the order of preference; a refusal
-- is the option's own reason never to be held, or '-', and options of one name are in one tier. The
-- context's rule is the account's own reason to be denied, or ''.
-- Answers DONE, CHECKED, REPLAYED, REUSED, LOOK_UP, STALE_POLICY, MOVED (a window has ended),
-- MISSING (a window is not loaded), RECLAIM (expired reservations are in the way), LEASE.

-- Returns the options, and whether none of them may be asked for.
local function read_options(text)
  local options, is_capped = {}, true
  for refusal, tier, legs in string.gmatch(text, '([%u_%-]+) (%d+) ([^;]+)') do
    local amounts, units = read_legs(legs)
    options[#options + 1] = { refusal = refusal, tier = tier, amounts = amounts, units = units }
    is_capped = is_capped and refusal == 'PER_REQUEST_CAP'
  end
  return options, is_capped
end

-- Returns the first option that fits; or else what is in the way, whether time may help, what the
-- rates are to be, and what is to be leased before the option that fits may be held. It is checked in this order: the account, the request, open reservations, the
-- rate, budgets, grants.
local function choose(context, options, is_capped)
  local denied = { reason = '', retry = '0' }
  if context.rule ~= '' or is_capped then
    denied.reason = context.rule ~= '' and context.rule or 'PER_REQUEST_CAP'
    return nil, denied, false, {}
  end
  local open_one = context.counts_open and limiting(context.windows, { RESERVATIONS = 1 }, true)
  if open_one then
    denied.reason, denied.limiting = 'CONCURRENCY_CAP', open_one
    return nil, denied, true, {}
  end
  local retry, rated = rate(context.rates)
  if retry > 0 then
    denied.reason, denied.retry = 'RATE_LIMITED', fmt(retry)
    return nil, denied, false, rated
  end
  local is_in_the_way = false
  for i, option in ipairs(options) do
    denied.limiting = limiting(context.windows, option.amounts, option.tier == options[#options].tier)
    denied.shortages = shortages(context.pools, option.amounts)
    local is_free = option.refusal == '-'
    if is_free and not denied.limiting and not denied.shortages then
      return i, denied, is_in_the_way, rated, lacking(context, option.amounts, 1)
    end
    option.limiting, option.shortages = denied.limiting, denied.shortages
    is_in_the_way = is_in_the_way or is_free
  end
  local refusal = options[#options].refusal
  denied.reason = refusal ~= '-' and refusal or ''
  return nil, denied, is_in_the_way, rated
end

-- Returns why an option of another tier than the chosen one's was passed over, the last that was, as
-- the JSON of the result; nil if none was.
local function passed_over(options, chosen)
  for i = chosen - 1, 1, -1 do
    local option = options[i]
    if option.tier ~= options[chosen].tier then
      local refusal = option.refusal ~= '-' and option.refusal or ''
      return cjson.encode({ passed = {
        reason = refusal, limiting = option.limiting, shortages = option.shortages,
        next_expiry = '0', retry = '0',
      } })
    end
  end
end

verbs.reserve = function(id, account, ttl, labels, mode, may_reclaim, options_text, refused_text)
  local context = context_of()
  local is_check = mode == 'CHECK_ONLY'
  if meta.policy ~= context.policy then
    return { 'STALE_POLICY', meta.policy }
  elseif context.is_over then
    return { 'MOVED', now_text }
  elseif context.is_missing then
    return { 'MISSING' }
  end
  local options, is_capped = read_options(options_text)
  read_refused(refused_text)
  local chosen, denied, is_in_the_way, rated, asked = choose(context, options, is_capped)

  if not chosen and is_in_the_way and may_reclaim == '1' then
    local expired = some_expired()
    if #expired > 0 then
      return { 'RECLAIM', unpack(expired) }
    end
  end
  local amounts = chosen and options[chosen].amounts
  if not chosen and denied.reason == '' and mode == 'BEST_EFFORT' then
    amounts = best_effort(context.windows, context.pools, options[#options].amounts)
    chosen = amounts and #options
    asked = amounts and lacking(context, amounts, 1)
  end
  if asked then
    return asked
  end
  for i = 1, is_check and 0 or #rated do
    put(rated[i][1], rated[i][2], RATE_MS)
  end
  if not chosen then
    denied.next_expiry = next_expiry()
    return (is_check and check or record)({ more = cjson.encode({ denied = denied }) })
  end

  local units = options[chosen].units
  local held = {
    id = id, account = account, state = 'HELD', option = fmt(chosen - 1), late = '0',
    created = now_text, expires = fmt(meta.now + number_of(ttl)), settled = '0',
    labels = labels, commit_key = '', receipt = '', legs = {}, units = units, lots = {}, refs = '',
  }
  local on, refs = {}, {}
  for i = 1, #context.windows do
    local window = context.windows[i]
    if window.unit == 'RESERVATIONS' and not amounts.RESERVATIONS then
      amounts.RESERVATIONS, units[#units + 1] = 1, 'RESERVATIONS'
    end
    if amounts[window.unit] then
      on[#on + 1], refs[#refs + 1] = window, window.ref
    end
  end
  held.refs = table.concat(refs, ' ')
  for _, unit in ipairs(units) do
    held.legs[unit] = { reserved = 0, held = 0, actual = 0, charged = 0, refunded = 0 }
  end
  if is_check then
    for unit, amount in pairs(amounts) do
      held.legs[unit].reserved = amount
    end
    return check({ reservation = packed_reservation(held), more = passed_over(options, chosen) })
  end
  hold(held, on, context.pools, amounts)
  set_expiry(id, held.expires)
  return record({
    reservation = write_reservation(held), deltas = deltas(), more = passed_over(options, chosen),
  })
end
