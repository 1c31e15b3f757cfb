-- lots(): how grants are spent, glued on behind the holds.
--
-- A lot is a grant, or one period of it; the lots of a prepaid unit are its pool.

-- What a window, or a lot, has left; below zero where debt was charged to it.
local function left_of(row)
  local counts = row.counts
  -- In this order no step that matters leaves the exact numbers.
  return row.amount + (counts.f - counts.c) - counts.r
end

-- What a pool can give, up to `most`. What has expired counts only as debt.
local function free_of(pool, most)
  local need = most
  for i = 1, #pool.all do
    local lot = pool.all[i]
    need = need + math.max(-left_of(lot), 0)
  end
  for i = 1, #pool.lots do
    local lot = pool.lots[i]
    need = need - math.min(math.max(left_of(lot), 0), math.max(need, 0))
  end
  return most - need
end

-- Takes an amount from a pool in the order of its lots; calls take(lot, part) for each part and
-- returns what they did not have.
local function spend(pool, amount, take)
  for i = 1, #pool.lots do
    local lot = pool.lots[i]
    if amount <= 0 then
      break
    end
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
  for i = 1, #held.lots do
    local receipt = held.lots[i]
    if receipt.ref == lot.ref then
      return receipt
    end
  end
  local receipt = {
    ref = lot.ref, id = lot.id, counts = lot.counts, reserved = 0, held = 0, charged = 0, refunded = 0,
  }
  held.lots[#held.lots + 1] = receipt
  return receipt
end

-- Returns the lot that carries what no lot has: the last that may be spent, or else the last that
-- the reservation took from; nil if there is none, and so nothing that could be owed.
local function debtor_of(pool, held, unit)
  local debtor = pool and pool.lots[#pool.lots]
  for i = pool and #held.lots or 0, 1, -1 do
    local receipt = held.lots[i]
    debtor = debtor or (receipt.counts.unit == unit and receipt) or nil
  end
  return debtor
end
