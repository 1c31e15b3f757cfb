-- holds(): what the scripts that work on a reservation share, glued on behind the prelude.
--
-- A reservation has legs by unit, windows that count them, and lots: what it took from which grant,
-- in the order in which it was taken. The keys of its windows and then of its lots stand together
-- in KEYS, in the order in which the reservation names them.

local LEG_FIELDS = { 'reserved', 'held', 'actual', 'charged', 'refunded' }
local LOT_FIELDS = { 'reserved', 'held', 'charged', 'refunded' }

local function read_amounts(text, names)
  local amounts, i = {}, 1
  for amount in string.gmatch(text, '%d+') do
    amounts[names[i]] = tonumber(amount)
    i = i + 1
  end
  return amounts
end

local function write_amounts(amounts, names, separator)
  local parts = {}
  for i, name in ipairs(names) do
    parts[i] = fmt(amounts[name])
  end
  return table.concat(parts, separator)
end

-- Returns a reservation: its fields as they are stored, and legs, refs and lots read from them.
local function read_reservation(key)
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then
    return nil
  end
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  local held = { fields = fields, legs = {}, units = {}, refs = {}, lots = {} }
  for unit, amounts in string.gmatch(fields.legs, '(%u+):([%d:]+)') do
    held.legs[unit] = read_amounts(amounts, LEG_FIELDS)
    held.units[#held.units + 1] = unit
  end
  for ref in string.gmatch(fields.windows, '%S+') do
    held.refs[#held.refs + 1] = ref
  end
  for ref, id, amounts in string.gmatch(fields.grants, '([^%s,]+),([^%s,]+),(%S+)') do
    local receipt = read_amounts(amounts, LOT_FIELDS)
    receipt.ref, receipt.id = ref, id
    held.lots[#held.lots + 1] = receipt
  end
  return held
end

-- Writes legs and lots into the fields, as they are stored, and returns those.
local function as_fields(held)
  local legs, lots = {}, {}
  for i, unit in ipairs(held.units) do
    legs[i] = unit .. ':' .. write_amounts(held.legs[unit], LEG_FIELDS, ':')
  end
  for i, receipt in ipairs(held.lots) do
    lots[i] = receipt.ref .. ',' .. receipt.id .. ',' .. write_amounts(receipt, LOT_FIELDS, ',')
  end
  held.fields.legs = table.concat(legs, ';')
  held.fields.grants = table.concat(lots, ' ')
  return held.fields
end

local function write_reservation(key, held)
  local flat = {}
  for field, value in pairs(as_fields(held)) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', key, unpack(flat))
  -- It outlives its expiry, so that a late commit finds it.
  local left = tonumber(held.fields.expires) - tonumber(held.fields.created)
  redis.call('PEXPIRE', key, KEEP_MS + math.max(left, 0))
end

-- Reads a counted key for a reference; the key must be the reference's.
local function read_counted(key, ref)
  assert(string.sub(key, -#ref - 1) == ':' .. ref, key .. ' is not the key of ' .. ref)
  local counted = read_window(key)
  if counted then
    counted.key, counted.ref, counted.unit = key, ref, string.match(ref, '%u+$')
  end
  return counted
end

-- Reads the windows of a reservation into held.windows, and the lots behind its receipts, from
-- KEYS[first] on. Returns why not: MISSING, or MISPLACED if other lots were taken since.
-- `more` are the references of further lots, whose keys follow; held.counted has all lots by ref.
local function read_held(held, first, more)
  if #KEYS - first + 1 ~= #held.refs + #held.lots + #more then
    return { 'MISPLACED' }
  end
  held.windows, held.counted = {}, {}
  for i, ref in ipairs(held.refs) do
    held.windows[i] = read_counted(KEYS[first + i - 1], ref)
    if not held.windows[i] then
      return { 'MISSING' }
    end
  end
  local at = first + #held.refs
  for i = 1, #held.lots + #more do
    local ref = i <= #held.lots and held.lots[i].ref or more[i - #held.lots]
    if string.sub(KEYS[at], -#ref - 1) ~= ':' .. ref then
      return { 'MISPLACED' }
    end
    held.counted[ref] = read_counted(KEYS[at], ref)
    if not held.counted[ref] then
      return { 'MISSING' }
    end
    at = at + 1
  end
  return nil
end

-- Adds to the counts of a window or lot, writes it, and notes the change for the ledger.
local function add(counted, deltas, r, c, f)
  if r == 0 and c == 0 and f == 0 then
    return
  end
  counted.r, counted.c, counted.f = counted.r + r, counted.c + c, counted.f + f
  write_window(counted.key, counted)
  deltas[#deltas + 1] = { counted.ref, fmt(r), fmt(c), fmt(f) }
end

-- Gives back all that a reservation still holds and settles it in `state`.
local function give_back(meta, keys, held, state)
  local deltas = {}
  for _, window in ipairs(held.windows) do
    add(window, deltas, -held.legs[window.unit].held, 0, 0)
  end
  for _, receipt in ipairs(held.lots) do
    add(held.counted[receipt.ref], deltas, -receipt.held, 0, 0)
    receipt.held = 0
  end
  for _, leg in pairs(held.legs) do
    leg.held = 0
  end
  held.fields.state, held.fields.settled = state, fmt(meta.now)
  write_reservation(keys.reservation, held)
  redis.call('ZREM', keys.expiries, held.fields.id)
  return deltas
end
