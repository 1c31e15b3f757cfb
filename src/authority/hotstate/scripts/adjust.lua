-- adjust(meta, answer, outbox, window..., lot...; offset_ms, checked, operation, request, command)
--
-- Charges an account more or less than was committed, in the windows of now. Never denied, but for
-- what can't be counted. `command` is JSON: policy; amounts (by unit, may be below zero); windows
-- (ref, start, finish); lots (as for reserve); prepaid.
-- Answers DONE, REPLAYED, REUSED, NOT_LOADED, LOOK_UP, STALE_POLICY, MOVED, MISSING,
-- EXCEEDS (unit, what can still be counted).

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local request = ARGV[4]
local first = first_answer(KEYS[2], KEYS[3], request)
if first then
  return first
end
if must_look_up(meta, ARGV[2]) then
  return { 'LOOK_UP' }
end
local command = cjson.decode(ARGV[5])
if meta.policy ~= command.policy then
  return { 'STALE_POLICY', meta.policy }
end
local counted, by_ref, at = {}, {}, 3
for _, rows in ipairs({ command.windows, command.lots }) do
  for _, row in ipairs(rows) do
    at = at + 1
    local one, problem = read_named(meta, row, at)
    if problem then
      return problem
    end
    counted[#counted + 1], by_ref[row.ref] = one, one
    local amount = math.abs(tonumber(command.amounts[one.unit] or '0'))
    if math.max(one.c, one.f) + amount > AMOUNT_MAX then
      return { 'EXCEEDS', one.unit, fmt(AMOUNT_MAX - math.max(one.c, one.f)) }
    end
  end
end
local pools = make_pools(meta, command.prepaid, command.lots, by_ref)
local deltas, moves = {}, {}
for unit, text in pairs(command.amounts) do
  local amount = tonumber(text)
  for i = 1, #command.windows do
    if counted[i].unit == unit then
      add(counted[i], deltas, 0, math.max(amount, 0), math.max(-amount, 0))
    end
  end
  if amount > 0 and pools[unit] then
    local function take(lot, part)
      add(lot, deltas, 0, part, 0)
    end
    local owed = spend(pools[unit], amount, take)
    if owed > 0 and #pools[unit].lots > 0 then
      take(pools[unit].lots[#pools[unit].lots], owed)
    end
  end
  moves[#moves + 1] = { unit, '0', fmt(amount), '0' }
end
return record(meta, KEYS[2], KEYS[3], request, {
  operation = ARGV[3],
  deltas = deltas,
  moves = moves,
})
