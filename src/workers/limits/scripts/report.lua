-- report(KEYS breaker; ARGV id, outcome, failures, open ms, open ms at most, cooldown ms) -> opened,
-- closed or '': what a call says about its provider.
local now = clock()
local policy = {
  failures_max = tonumber(ARGV[3]), open_ms = tonumber(ARGV[4]), open_ms_max = tonumber(ARGV[5]),
}
local changed = breaker.report(KEYS[1], ARGV[1], ARGV[2], policy, now)
local cooldown = now + tonumber(ARGV[6])
if cooldown > now and cooldown > number(redis.call('HGET', KEYS[1], 'cooldown'), 0) then
  redis.call('HSET', KEYS[1], 'cooldown', digits(cooldown))
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[6]) then
    redis.call('PEXPIRE', KEYS[1], digits(tonumber(ARGV[6]) + 3600000))
  end
end
return changed
