-- prelude(): what every script shares, glued on in front at load, after `local EPOCH = '<number>'`.
--
-- The epoch is part of the text, so it is part of the script's hash: a process that still holds an
-- older epoch calls a script that the restarted store does not know, and can decide nothing.
--
-- Keys, all in the slot of one tenant (hotstate/keys.py builds them; docs/architecture.md says how
-- the values are packed, field by field):
--   meta        hash    epoch, sequence, now (last decision, ms), policy (version), loaded (ms)
--   outbox      stream  request, result: decided and not yet known to be in the ledger
--   expiries    zset    open reservations by the time at which they expire (ms)
--   answer      string  entry, request, result: the first answer of one idempotency key
--   reservation string  one reservation, as domain/reservations.py reads it
--   window      string  reserved, committed, refunded of one budget in one window, or of one grant
--                       (in one period of it, if it recurs): a lot
--   lease       string  amount, version: what the tenant may use of a window of the platform's budget
--   rate        string  when an account's rate limit is free again (microseconds)
--   submissions string  the same of a rate of submissions, of an account or of an API key
-- A key that is absent is loaded from the ledger before a script may use it: the answer is MISSING.
--
-- Amounts stay below 2^53, where Lua numbers are exact; they are written with '%d' alone, since
-- tostring(1e14) is '1e+14'. That '%d' writes every digit here is checked when a tenant is opened.

local AMOUNT_MAX = 9007199254740991
local KEEP_MS = 259200000    -- three days: how long idle hot state stays; the ledger has it for ever
local ANSWER_MS = 90000000   -- 25 hours: answers stay hot for a day and an hour of grace
local RATE_MS = 120000       -- a rate is level again within a minute

-- The texts of numbers, and the numbers of texts, that were asked for before: in a call they are
-- mostly the same few, and to look one up costs a fifth of making it anew.
local written, read = {}, {}

local function fmt(number)
  local text = written[number]
  if not text then
    text = string.format('%d', number)
    written[number] = text
  end
  return text
end

local function number_of(text)
  local number = read[text]
  if not number then
    number = tonumber(text)
    read[text] = number
  end
  return number
end

-- Takes one from a rate limit (GCRA). Its level is when it would be free again, in microseconds; a
-- burst of a minute's worth is allowed. Returns the level after it, and in how many ms it is allowed.
local function one_more(level, per_minute, now_us)
  local after = math.max(tonumber(level or '0'), now_us) + math.floor(60000000 / per_minute)
  return after, math.max(math.ceil((after - 60000000 - now_us) / 1000), 0)
end

-- Reads the tenant's meta and the clock. Returns nil if the tenant is not loaded in this epoch.
local function open(meta_key, offset_ms)
  local values = redis.call('HMGET', meta_key, 'epoch', 'now', 'policy', 'loaded', 'sequence')
  if values[1] ~= EPOCH then
    return nil
  end
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(offset_ms)
  local last = tonumber(values[2])
  if now < last then
    now = last -- the clock of a tenant never goes back
  end
  return { now = now, policy = values[3], loaded = tonumber(values[4]), sequence = tonumber(values[5]) }
end
