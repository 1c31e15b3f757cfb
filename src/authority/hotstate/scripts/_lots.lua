-- lots(): how grants are spent, glued on behind the holds.
--
-- A lot is a grant, or one period of it; the lots of a prepaid unit are its pool.

-- Reads what stands at KEYS[at] for a window or lot that a command names; returns it, or why not.
local function read_named(meta, row, at)
  local finish = tonumber(row.finish)
  if finish > 0 and (meta.now < tonumber(row.start) or meta.now >= finish) then
    return nil, { 'MOVED', fmt(meta.now) }
  end
  local counted = read_counted(KEYS[at], row.ref)
  return counted, not counted and { 'MISSING' } or nil
end

-- What a lot has left; below zero where debt was charged to it.
local function left_of(lot)
  -- In this order no step that matters leaves the exact numbers.
  return lot.amount + (lot.f - lot.c) - lot.r
end

-- Gathers lots into pools by unit. `rows` are their definitions in the order in which they are
-- spent, `counted` their counts by ref. What has expired counts only as debt.
local function make_pools(meta, units, rows, counted)
  local pools = {}
  for _, unit in ipairs(units) do
    pools[unit] = { lots = {}, debt = 0, reserved = 0 }
  end
  for _, row in ipairs(rows) do
    local pool, lot = pools[row.unit], counted[row.ref]
    if pool then
      lot.amount, lot.id = tonumber(row.amount), row.id
      local left, expires = left_of(lot), tonumber(row.expires)
      pool.debt = pool.debt + math.max(-left, 0)
      if meta.now >= tonumber(row.effective) and (expires == 0 or meta.now < expires) then
        pool.lots[#pool.lots + 1] = lot
        pool.reserved = pool.reserved + lot.r
      end
    end
  end
  return pools
end

-- What a pool can give, up to `most`.
local function free_of(pool, most)
  local need = most + pool.debt
  for _, lot in ipairs(pool.lots) do
    need = need - math.min(math.max(left_of(lot), 0), math.max(need, 0))
  end
  return most - need
end

-- Takes an amount from a pool in the order of its lots; calls take(lot, part) for each part and
-- returns what they did not have.
local function spend(pool, amount, take)
  for _, lot in ipairs(pool.lots) do
    local part = math.min(math.max(left_of(lot), 0), amount)
    if part > 0 then
      take(lot, part)
      amount = amount - part
    end
  end
  return amount
end

-- Returns the receipt of a lot in a reservation, made if there is none yet.
local function receipt_of(held, lot)
  for _, receipt in ipairs(held.lots) do
    if receipt.ref == lot.ref then
      return receipt
    end
  end
  local receipt = { ref = lot.ref, id = lot.id, reserved = 0, held = 0, charged = 0, refunded = 0 }
  held.lots[#held.lots + 1] = receipt
  return receipt
end

-- Returns the lot that carries what no lot has: the last that may be spent, or else the last that
-- the reservation took from; nil if there is none, and so nothing that could be owed.
local function debtor_of(pool, held, unit)
  local debtor = pool and pool.lots[#pool.lots]
  for i = pool and #held.lots or 0, 1, -1 do
    local lot = held.counted[held.lots[i].ref]
    debtor = debtor or (lot.unit == unit and lot) or nil
  end
  return debtor
end
