-- refund(meta, answer, reservation, expiries, outbox, window..., lot...;
--        offset_ms, checked, operation, request, command)
--
-- Gives back a charge, or all that is left of it if no leg is named, to the windows and, in reverse
-- order, to the lots that it was taken from. On HELD it releases, and gives back what parts of it
-- were charged. `command` is JSON: legs (amount by unit, or false), restore (by the ref of a lot
-- that may be restored when it has expired: expires, grace, id of the new grant).
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, MISSING, MISPLACED, STATE,
-- EXCEEDS (unit, refundable).

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local request = ARGV[4]
local first = first_answer(KEYS[2], KEYS[5], request)
if first then
  return first
end
if must_look_up(meta, ARGV[2]) then
  return { 'LOOK_UP' }
end
local command = cjson.decode(ARGV[5])
local held = read_reservation(KEYS[3])
if not held then
  return { 'MISSING' }
end
local charged = false
for _, leg in pairs(held.legs) do
  charged = charged or leg.charged > 0
end
if not charged and (held.fields.state == 'RELEASED' or held.fields.state == 'EXPIRED') then
  return { 'STATE', held.fields.state, '' }
end
local problem = read_held(held, 6, {})
if problem then
  return problem
end

local amounts = {}
for unit, leg in pairs(held.legs) do
  amounts[unit] = command.legs and tonumber(command.legs[unit] or '0') or leg.charged - leg.refunded
end
for unit, amount in pairs((charged or held.fields.state ~= 'HELD') and command.legs or {}) do
  local leg = held.legs[unit]
  local refundable = leg and leg.charged - leg.refunded or 0
  if tonumber(amount) > refundable then
    return { 'EXCEEDS', unit, fmt(refundable) }
  end
end
-- No count may pass the largest amount: an adjustment may have left a window less room than that.
for _, window in ipairs(charged and held.windows or {}) do
  local room = AMOUNT_MAX - window.f
  if amounts[window.unit] > room then
    return { 'EXCEEDS', window.unit, fmt(room) }
  end
end

local deltas, moves, restored = {}, {}, {}
if held.fields.state == 'HELD' then
  deltas = give_back(meta, { reservation = KEYS[3], expiries = KEYS[4] }, held, 'RELEASED')
end
for i = 1, charged and #held.units or 0 do
  local unit = held.units[i]
  local leg, amount = held.legs[unit], amounts[unit]
  for _, window in ipairs(held.windows) do
    if window.unit == unit then
      add(window, deltas, 0, 0, amount)
    end
  end
  if amount > 0 then
    leg.refunded = leg.refunded + amount
    moves[#moves + 1] = { unit, '0', '0', fmt(amount) }
  end
  for j = #held.lots, 1, -1 do
    local receipt = held.lots[j]
    local lot = held.counted[receipt.ref]
    local part = lot.unit == unit and math.min(receipt.charged - receipt.refunded, amount) or 0
    add(lot, deltas, 0, 0, part)
    receipt.refunded = receipt.refunded + part
    amount = amount - part
    local restore = command.restore[receipt.ref]
    if part > 0 and restore and meta.now >= tonumber(restore.expires) then
      local expires = fmt(meta.now + tonumber(restore.grace))
      restored[#restored + 1] = { restore.id, receipt.id, fmt(part), expires }
    end
  end
end
write_reservation(KEYS[3], held)
return record(meta, KEYS[2], KEYS[5], request, {
  operation = ARGV[3],
  reservation = held.fields,
  deltas = deltas,
  moves = moves,
  restored = restored,
})
