-- prelude(): what every script shares, glued on in front at load, after `local EPOCH = '<number>'`.
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
--   window      hash    r, c, f: reserved, committed, refunded of one budget in one window, or of
--                       one grant (in one period of it, if it recurs): a lot
--   rate        string  when an account's rate limit is free again (microseconds)
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

-- Answers what a decision would be, and writes nothing.
local function check(meta, result)
  result.sequence, result.now, result.epoch = '0', fmt(meta.now), EPOCH
  return { 'CHECKED', cjson.encode(result), '' }
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
