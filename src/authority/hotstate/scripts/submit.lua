-- submit(admitted, bursts, rate...; offset_ms, most_bursts, within_ms, per_minute...)
--
-- Takes one submission from each rate, all or none; nothing of a tenant has to be loaded for it.
-- `admitted` remembers for a while whom it let in, so that a submission which comes again before the
-- ledger has it is not counted twice. `bursts` has the times of the latest `most_bursts` that were
-- refused, 0 for not watched.
-- Answers DONE; or RATE_LIMITED, '1' if as many were refused `within_ms` and else '0', and in how
-- many ms each rate allows one.

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1]) * 1000
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'DONE' }
end

-- Says whether this refusal is the last of too many; these are then forgotten.
local function is_burst()
  local most, now = tonumber(ARGV[2]), math.floor(now_us / 1000)
  if most == 0 then
    return '0'
  end
  redis.call('LPUSH', KEYS[2], fmt(now))
  redis.call('LTRIM', KEYS[2], 0, most - 1)
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  local first = redis.call('LINDEX', KEYS[2], most - 1)
  if not first or now - tonumber(first) > tonumber(ARGV[3]) then
    return '0'
  end
  redis.call('DEL', KEYS[2])
  return '1'
end

local levels, waits, is_refused = {}, {}, false
for i = 3, #KEYS do
  local level, wait = one_more(redis.call('GET', KEYS[i]), tonumber(ARGV[i + 1]), now_us)
  levels[i], waits[i - 2] = fmt(level), fmt(wait)
  is_refused = is_refused or wait > 0
end
if is_refused then
  return { 'RATE_LIMITED', is_burst(), unpack(waits) }
end
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], levels[i], 'PX', RATE_MS)
end
redis.call('SET', KEYS[1], '1', 'PX', RATE_MS)
return { 'DONE' }
