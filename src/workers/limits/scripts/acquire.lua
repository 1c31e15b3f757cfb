-- acquire(12 KEYS; ARGV as below) -> {'', run}, and all is taken, or {why, run, ms}, and nothing is.
--
-- KEYS: paused, limits, life, breaker, rate, then held, waiting and asked of the provider and of the
-- account. ARGV: id, rank, lease ms, renew ms, run seen, provider, account, then the limits that hold
-- if none are in the hash: the provider's concurrency and per minute, the account's concurrency.
local id, rank, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local provider = { held = KEYS[6], waiting = KEYS[7], asked = KEYS[8] }
local account = { held = KEYS[9], waiting = KEYS[10], asked = KEYS[11] }
local now = clock()
local run, warming_ms = life.look(KEYS[3], ARGV[5], tonumber(ARGV[4]), now)

-- One that is turned away stands in the one line where its turn did not come.
local function busy(why, ms, keys)
  semaphore.leave(provider, id)
  semaphore.leave(account, id)
  if keys then
    semaphore.wait(keys, id, rank, now + 2 * ms + 3000, now)
  end
  return { why, run, digits(math.max(1, ms)) }
end

-- Those in front ask often, for their turn may come any time; those far behind seldom.
local function patience(place, limit)
  return math.min(15000, math.floor(500 * (1 + place / limit)))
end

if warming_ms > 0 then
  return busy('warming', warming_ms)
end
if redis.call('HEXISTS', KEYS[1], ARGV[6]) == 1 then
  return busy('paused', 5000)
end
local broken_ms, why_broken = breaker.look(KEYS[4], provider.held, id, now)
if broken_ms > 0 then
  return busy(why_broken, broken_ms)
end

local set = redis.call('HMGET', KEYS[2], ARGV[6] .. '.concurrency', ARGV[6] .. '.per_minute',
  ARGV[7] .. '.concurrency', 'account:*.concurrency')
local concurrency, per_minute = number(set[1], tonumber(ARGV[8])), number(set[2], tonumber(ARGV[9]))
local account_limit = number(set[3], number(set[4], tonumber(ARGV[10])))

local before, free = semaphore.look(account, account_limit, id, rank, now)
if free and before >= free then
  return busy('account_concurrency', patience(before - free, account_limit), account)
end
before, free = semaphore.look(provider, concurrency, id, rank, now)
if free and before >= free then
  return busy('provider_concurrency', patience(before - free, concurrency), provider)
end
if per_minute > 0 then
  local tokens, ms = rate.look(KEYS[5], per_minute, before + 1, now)
  if before >= tokens then
    return busy('provider_rate', ms, provider)
  end
  rate.take(KEYS[5], per_minute, 1, now)
end

semaphore.take(account, id, lease_ms, now)
semaphore.take(provider, id, lease_ms, now)
breaker.take(KEYS[4], id)
return { '', run }
