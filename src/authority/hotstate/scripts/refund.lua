-- refund(meta, answer, reservation, expiries, outbox, window...;
--        offset_ms, checked, operation, request, legs, (unit, amount)...)
--
-- Gives back a charge, or all that is left of it if no leg is named; on HELD it releases.
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, MISSING, STATE, EXCEEDS (unit, refundable).

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
local reservation, legs, refs = read_reservation(KEYS[3])
if not reservation then
  return { 'MISSING' }
end
if reservation.state == 'RELEASED' or reservation.state == 'EXPIRED' then
  return { 'STATE', reservation.state, '' }
end
local windows = read_windows(KEYS, 6, refs)
if not windows or windows.err then
  return windows or { 'MISSING' }
end

if reservation.state == 'HELD' then
  local keys = { reservation = KEYS[3], expiries = KEYS[4] }
  local given = give_back(meta, keys, reservation, legs, windows, 'RELEASED')
  return record(meta, KEYS[2], KEYS[5], request, {
    operation = ARGV[3],
    reservation = reservation,
    deltas = given,
  })
end

local amounts = {}
if ARGV[5] == '0' then
  for unit, leg in pairs(legs.by_unit) do
    amounts[unit] = leg.charged - leg.refunded
  end
else
  for i = 6, 5 + 2 * tonumber(ARGV[5]), 2 do
    local unit, amount = ARGV[i], tonumber(ARGV[i + 1])
    local leg = legs.by_unit[unit]
    local refundable = leg and leg.charged - leg.refunded or 0
    if amount > refundable then
      return { 'EXCEEDS', unit, fmt(refundable) }
    end
    amounts[unit] = amount
  end
end

local deltas, moves = {}, {}
for _, window in ipairs(windows) do
  local amount = amounts[window.unit]
  if amount and amount > 0 then
    add(window, deltas, 0, 0, amount)
  end
end
for _, unit in ipairs(legs.units) do
  local amount = amounts[unit]
  if amount and amount > 0 then
    legs.by_unit[unit].refunded = legs.by_unit[unit].refunded + amount
    moves[#moves + 1] = { unit, '0', '0', fmt(amount) }
  end
end
write_reservation(KEYS[3], reservation, legs)
return record(meta, KEYS[2], KEYS[5], request, {
  operation = ARGV[3],
  reservation = reservation,
  deltas = deltas,
  moves = moves,
})
