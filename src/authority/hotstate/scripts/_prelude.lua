-- Shared by every script: glued on in front at load, after a line `local EPOCH = '<number>'`.
--
-- The epoch is part of the text, so it is part of the script's hash: a process that still holds an
-- older epoch calls a script that the restarted store does not know, and can decide nothing.
--
-- Keys, all in the slot of one tenant (hotstate/keys.py builds them):
--   meta        hash    epoch, sequence, now (last decision, ms), policy (version), loaded (ms)
--   outbox      stream  request, result: decided and not yet known to be in the ledger
--   answer      hash    request, result, entry: the first answer of one idempotency key
--   reservation hash    one reservation, flat strings as domain/reservations.py reads them
--   expiries    zset    open reservations by the time at which they expire (ms)
--   window      hash    r, c, f: reserved, committed, refunded of one budget in one window
-- A key that is absent is loaded from the ledger before a script may use it: the answer is MISSING.
--
-- Amounts stay below 2^53, where Lua numbers are exact; they are written by fmt() alone, since
-- tostring(1e14) is '1e+14'.

local AMOUNT_MAX = 9007199254740991
local KEEP_MS = 259200000    -- three days: how long idle hot state stays; the ledger has it for ever
local ANSWER_MS = 90000000   -- 25 hours: answers stay hot for a day and an hour of grace

local function fmt(number)
  return string.format('%.0f', number)
end

-- Reads the tenant's meta and the clock. Returns nil if the tenant is not loaded in this epoch.
local function open(meta_key, offset_ms)
  local values = redis.call('HMGET', meta_key, 'epoch', 'now', 'policy', 'loaded')
  if values[1] ~= EPOCH then
    return nil
  end
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(offset_ms)
  local last = tonumber(values[2])
  if now < last then
    now = last -- the clock of a tenant never goes back
  end
  return { key = meta_key, now = now, policy = values[3], loaded = tonumber(values[4]) }
end

-- Returns the first answer of an idempotency key, or nil.
-- The third value is the outbox entry if the ledger may not have the operation yet.
local function first_answer(answer_key, outbox_key, request)
  local values = redis.call('HMGET', answer_key, 'request', 'result', 'entry')
  if not values[1] then
    return nil
  end
  if values[1] ~= request then
    return { 'REUSED', values[1] }
  end
  local waiting = redis.call('XRANGE', outbox_key, values[3], values[3])
  return { 'REPLAYED', values[2], #waiting > 0 and values[3] or '' }
end

-- Says whether the ledger must be asked for the key before this store may decide: answers given
-- before the tenant was loaded are not here.
local function must_look_up(meta, checked)
  return checked ~= '1' and meta.now - meta.loaded < ANSWER_MS
end

-- Writes the decision: sequence, outbox, answer. `answer_key` is '' for operations without a key.
local function record(meta, answer_key, outbox_key, request, result)
  local sequence = redis.call('HINCRBY', meta.key, 'sequence', 1)
  redis.call('HSET', meta.key, 'now', fmt(meta.now))
  result.sequence = fmt(sequence)
  result.now = fmt(meta.now)
  result.epoch = EPOCH
  local encoded = cjson.encode(result)
  local entry = redis.call('XADD', outbox_key, '*', 'request', request, 'result', encoded)
  if answer_key ~= '' then
    redis.call('HSET', answer_key, 'request', request, 'result', encoded, 'entry', entry)
    redis.call('PEXPIRE', answer_key, ANSWER_MS)
  end
  return { 'DONE', encoded, entry }
end

local function read_window(key)
  local values = redis.call('HMGET', key, 'r', 'c', 'f')
  if not values[1] then
    return nil
  end
  return { r = tonumber(values[1]), c = tonumber(values[2]), f = tonumber(values[3]) }
end

local function write_window(key, window)
  redis.call('HSET', key, 'r', fmt(window.r), 'c', fmt(window.c), 'f', fmt(window.f))
  redis.call('PEXPIRE', key, KEEP_MS)
end

local LEG_FIELDS = { 'reserved', 'held', 'actual', 'charged', 'refunded' }

-- Reads a reservation with its legs by unit, and its windows in the order of their keys.
local function read_reservation(key)
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then
    return nil
  end
  local reservation = {}
  for i = 1, #flat, 2 do
    reservation[flat[i]] = flat[i + 1]
  end
  local legs, units = {}, {}
  for unit, amounts in string.gmatch(reservation.legs, '(%u+):([%d:]+)') do
    local leg, i = {}, 1
    for amount in string.gmatch(amounts, '%d+') do
      leg[LEG_FIELDS[i]] = tonumber(amount)
      i = i + 1
    end
    legs[unit] = leg
    units[#units + 1] = unit
  end
  local refs = {}
  for ref in string.gmatch(reservation.windows, '%S+') do
    refs[#refs + 1] = ref
  end
  return reservation, { by_unit = legs, units = units }, refs
end

local function write_reservation(key, reservation, legs)
  local parts = {}
  for i, unit in ipairs(legs.units) do
    local leg = legs.by_unit[unit]
    local amounts = { unit }
    for j, field in ipairs(LEG_FIELDS) do
      amounts[j + 1] = fmt(leg[field])
    end
    parts[i] = table.concat(amounts, ':')
  end
  reservation.legs = table.concat(parts, ';')
  local flat = {}
  for field, value in pairs(reservation) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', key, unpack(flat))
  redis.call('PEXPIRE', key, KEEP_MS)
end

-- Reads the windows of a reservation. `keys` must be those of `refs`, in their order, from
-- `first` on; returns nil if one is not loaded.
local function read_windows(keys, first, refs)
  if #keys - first + 1 ~= #refs then
    return nil
  end
  local windows = {}
  for i, ref in ipairs(refs) do
    local key = keys[first + i - 1]
    if string.sub(key, -#ref - 1) ~= ':' .. ref then
      return redis.error_reply('WRONGKEY ' .. key .. ' is not the window ' .. ref)
    end
    local window = read_window(key)
    if not window then
      return nil
    end
    window.key, window.ref, window.unit = key, ref, string.match(ref, '%u+$')
    windows[i] = window
  end
  return windows
end

-- Adds to a window's counts, writes it, and notes the change for the ledger.
local function add(window, deltas, r, c, f)
  window.r, window.c, window.f = window.r + r, window.c + c, window.f + f
  write_window(window.key, window)
  deltas[#deltas + 1] = { window.ref, fmt(r), fmt(c), fmt(f) }
end

-- Gives back all that a reservation still holds and settles it in `state`.
local function give_back(meta, keys, reservation, legs, windows, state)
  local deltas = {}
  for _, window in ipairs(windows) do
    local held = legs.by_unit[window.unit].held
    if held > 0 then
      add(window, deltas, -held, 0, 0)
    end
  end
  for _, leg in pairs(legs.by_unit) do
    leg.held = 0
  end
  reservation.state = state
  reservation.settled = fmt(meta.now)
  write_reservation(keys.reservation, reservation, legs)
  redis.call('ZREM', keys.expiries, reservation.id)
  return deltas
end
