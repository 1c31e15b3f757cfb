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
  local id, account, state, option, late, created, expires, settled, legs, refs, grants, labels,
    commit_key, receipt = string.match(packed, RESERVATION)
  assert(legs, item.reservation .. ' is unreadable')
  local held = {
    id = id, account = account, state = state, option = option, late = late, created = created,
    expires = expires, settled = settled, legs = {}, units = {}, refs = refs, lots = {},
    labels = labels, commit_key = commit_key, receipt = receipt, windows = false, is_held = false,
  }
  for unit, reserved, kept, actual, charged, refunded in
    string.gmatch(legs, '(%u+):(%d+):(%d+):(%d+):(%d+):(%d+)')
  do
    held.legs[unit] = {
      reserved = number_of(reserved), held = number_of(kept), actual = number_of(actual),
      charged = number_of(charged), refunded = number_of(refunded),
    }
    held.units[#held.units + 1] = unit
  end
  for ref, id, reserved, kept, charged, refunded in
    string.gmatch(grants, '([^%s,]+),([^%s,]+),(%d+),(%d+),(%d+),(%d+)')
  do
    held.lots[#held.lots + 1] = {
      ref = ref, id = id, reserved = number_of(reserved), held = number_of(kept),
      charged = number_of(charged), refunded = number_of(refunded), counts = false,
    }
  end
  return held
end

-- Returns a reservation as it is written.
local function packed_reservation(held)
  local legs, lots = '', ''
  for i = 1, #held.units do
    local unit = held.units[i]
    local leg = held.legs[unit]
    legs = legs .. (i > 1 and ';' or '') .. unit .. ':' .. fmt(leg.reserved) .. ':' .. fmt(leg.held) .. ':' .. fmt(leg.actual)
      .. ':' .. fmt(leg.charged) .. ':' .. fmt(leg.refunded)
  end
  for i = 1, #held.lots do
    local lot = held.lots[i]
    lots = lots .. (i > 1 and ' ' or '') .. lot.ref .. ',' .. lot.id .. ',' .. fmt(lot.reserved) .. ',' .. fmt(lot.held) .. ','
      .. fmt(lot.charged) .. ',' .. fmt(lot.refunded)
  end
  return held.id .. '\n' .. held.account .. '\n' .. held.state .. '\n' .. held.option .. '\n'
    .. held.late .. '\n' .. held.created .. '\n' .. held.expires .. '\n' .. held.settled .. '\n'
    .. legs .. '\n' .. held.refs .. '\n' .. lots .. '\n' .. held.labels .. '\n' .. held.commit_key .. '\n' .. held.receipt
end

-- Stages a reservation; returns it as it is written.
local function write_reservation(held)
  local packed = packed_reservation(held)
  -- It outlives its expiry, so that a late commit finds it.
  local left = tonumber(held.expires) - tonumber(held.created)
  put(item.reservation, packed, KEEP_MS + math.max(left, 0))
  return packed
end

local windows_of = {} -- by the refs of a reservation: the counts of its windows

-- Reads the counts of a reservation's windows into held.windows, and those of its lots into their
-- receipts. Returns why not: MISSING, or MISPLACED if other lots were taken since.
local function read_held(held)
  local problem
  local windows = windows_of[held.refs]
  if not windows then
    windows = {}
    for ref in string.gmatch(held.refs, '%S+') do
      windows[#windows + 1], problem = counts_of(ref)
      if problem then
        return problem
      end
    end
    windows_of[held.refs] = windows
  end
  held.windows = windows
  for i = 1, #held.lots do
    local receipt = held.lots[i]
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
  for i = 1, #held.windows do
    local counts = held.windows[i]
    add(counts, -held.legs[counts.unit].held, 0, 0)
  end
  for i = 1, #held.lots do
    local receipt = held.lots[i]
    add(receipt.counts, -receipt.held, 0, 0)
    receipt.held = 0
  end
  for _, leg in pairs(held.legs) do
    leg.held = 0
  end
  held.state, held.settled = state, now_text
  set_expiry(held.id, false)
end
