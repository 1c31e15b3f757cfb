-- limits(): what Reserve and Extend share, glued on behind the lots.

-- Returns the windows that do not allow the amounts, or nil; a lease that may grow is none of them.
-- A soft cap spares what is in the lowest
-- tier of its request. Even a budget that never denies keeps its counts exact, so nothing may pass the
-- largest amount.
local function limiting(windows, amounts, is_lowest)
  local rows
  for i = 1, #windows do
    local window = windows[i]
    local amount, counts = amounts[window.unit], window.counts
    if amount and not may_grow(window) then
      local denies = window.enforcement == 'BLOCK'
        or (window.enforcement == 'DOWNGRADE' and not is_lowest)
      local overflows = counts.r + counts.c + amount > AMOUNT_MAX
      if (denies and amount > left_of(window)) or overflows then
        local in_debt = window.may_owe and counts.c - counts.f > window.amount
        rows = rows or {}
        rows[#rows + 1] = {
          counts.ref, fmt(window.amount), fmt(counts.r), fmt(counts.c), fmt(counts.f), fmt(amount),
          window.is_leased and '2' or (in_debt and '1' or '0'),
        }
      end
    end
  end
  return rows
end

-- Returns the prepaid units whose grants do not cover the amounts, or nil.
local function shortages(pools, amounts)
  local rows
  for unit, amount in pairs(amounts) do
    local pool = pools[unit]
    local free = pool and free_of(pool, amount) or amount
    if free < amount then
      local reserved = 0
      for i = 1, #pool.lots do
        local lot = pool.lots[i]
        reserved = reserved + lot.counts.r
      end
      rows = rows or {}
      rows[#rows + 1] = { unit, fmt(amount), fmt(free), fmt(reserved) }
    end
  end
  return rows
end

-- Holds amounts on windows and lots, and notes in the reservation what was taken.
local function hold(held, windows, pools, amounts)
  for i = 1, #windows do
    local window = windows[i]
    add(window.counts, amounts[window.unit] or 0, 0, 0)
  end
  for unit, amount in pairs(amounts) do
    local leg = held.legs[unit]
    leg.reserved, leg.held = leg.reserved + amount, leg.held + amount
    if pools[unit] then
      spend(pools[unit], amount, function(lot, part)
        local receipt = receipt_of(held, lot)
        receipt.reserved, receipt.held = receipt.reserved + part, receipt.held + part
        add(lot.counts, part, 0, 0)
      end)
    end
  end
end

-- Takes one from each rate limit, all or none. Returns when to try again, in ms, or 0, and what is to
-- be written once it is decided.
local function rate(rates)
  if #rates == 0 then
    return 0, rates
  end
  local retry, writes = 0, {}
  for i = 1, #rates do
    local key = rates[i][1]
    local level, wait = one_more(values[key] or nil, rates[i][2], meta.now * 1000)
    retry = math.max(retry, wait)
    writes[i] = { key, fmt(level) }
  end
  return retry, retry == 0 and writes or {}
end

-- What is left of the amounts, in every unit at least one; nil if there is less.
local function best_effort(windows, pools, wanted)
  local amounts = {}
  for unit, amount in pairs(wanted) do
    for i = 1, #windows do
      local window = windows[i]
      if window.unit == unit and window.enforcement == 'BLOCK' and not may_grow(window) then
        amount = math.min(amount, left_of(window))
      end
    end
    amounts[unit] = pools[unit] and free_of(pools[unit], amount) or amount
    if amounts[unit] < 1 then
      return nil
    end
  end
  return not limiting(windows, amounts, true) and amounts or nil
end
