-- holds(): what the verbs that work on a reservation share, glued on behind the policy.
--
-- A reservation has legs by unit, windows that count them, and lots: receipts of what it took from
-- which grant, in the order in which it was taken.

local RESERVATION = '^' .. string.rep('([^\n]*)\n', 13) .. '(.*)$'

-- Returns the item's reservation, as it was written.
local function read_reservation()
  local packed = values[item.reservation]
  if not packed then
    return nil
  end
  local held = { legs = {}, units = {}, lots = {} }
  local legs, grants
  held.id, held.account, held.state, held.option, held.late, held.created, held.expires,
    held.settled, legs, held.refs, grants, held.labels, held.commit_key, held.receipt =
    string.match(packed, RESERVATION)
  assert(legs, item.reservation .. ' is unreadable')
  for unit, reserved, kept, actual, charged, refunded in
    string.gmatch(legs, '(%u+):(%d+):(%d+):(%d+):(%d+):(%d+)')
  do
    held.legs[unit] = {
      reserved = tonumber(reserved), held = tonumber(kept), actual = tonumber(actual),
      charged = tonumber(charged), refunded = tonumber(refunded),
    }
    held.units[#held.units + 1] = unit
  end
  for ref, id, reserved, kept, charged, refunded in
    string.gmatch(grants, '([^%s,]+),([^%s,]+),(%d+),(%d+),(%d+),(%d+)')
  do
    held.lots[#held.lots + 1] = {
      ref = ref, id = id, reserved = tonumber(reserved), held = tonumber(kept),
      charged = tonumber(charged), refunded = tonumber(refunded),
    }
  end
  return held
end

-- Returns a reservation as it is written.
local function packed_reservation(held)
  local legs, lots = {}, {}
  for i, unit in ipairs(held.units) do
    local leg = held.legs[unit]
    legs[i] = string.format('%s:%d:%d:%d:%d:%d',
      unit, leg.reserved, leg.held, leg.actual, leg.charged, leg.refunded)
  end
  for i, lot in ipairs(held.lots) do
    lots[i] = string.format('%s,%s,%d,%d,%d,%d',
      lot.ref, lot.id, lot.reserved, lot.held, lot.charged, lot.refunded)
  end
  return held.id .. '\n' .. held.account .. '\n' .. held.state .. '\n' .. held.option .. '\n'
    .. held.late .. '\n' .. held.created .. '\n' .. held.expires .. '\n' .. held.settled .. '\n'
    .. table.concat(legs, ';') .. '\n' .. held.refs .. '\n' .. table.concat(lots, ' ') .. '\n'
    .. held.labels .. '\n' .. held.commit_key .. '\n' .. held.receipt
end

-- Stages a reservation; returns it as it is written.
local function write_reservation(held)
  local packed = packed_reservation(held)
  -- It outlives its expiry, so that a late commit finds it.
  local left = tonumber(held.expires) - tonumber(held.created)
  put(item.reservation, packed, KEEP_MS + math.max(left, 0))
  return packed
end

-- Reads the counts of a reservation's windows into held.windows, and those of its lots into their
-- receipts. Returns why not: MISSING, or MISPLACED if other lots were taken since.
local function read_held(held)
  local windows = {}
  for ref in string.gmatch(held.refs, '%S+') do
    local counts, problem = counts_of(ref)
    if problem then
      return problem
    end
    windows[#windows + 1] = counts
  end
  held.windows = windows
  for _, receipt in ipairs(held.lots) do
    local problem
    receipt.counts, problem = counts_of(receipt.ref)
    if problem then
      return problem
    end
  end
  return nil
end

-- Gives back all that a reservation still holds and settles it in `state`; it is still to be
-- written.
local function give_back(held, state)
  for _, counts in ipairs(held.windows) do
    add(counts, -held.legs[counts.unit].held, 0, 0)
  end
  for _, receipt in ipairs(held.lots) do
    add(receipt.counts, -receipt.held, 0, 0)
    receipt.held = 0
  end
  for _, leg in pairs(held.legs) do
    leg.held = 0
  end
  held.state, held.settled = state, now_text
  set_expiry(held.id, false)
end
