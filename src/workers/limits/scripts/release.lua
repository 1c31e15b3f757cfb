-- release(KEYS limits, breaker, rate, held of the provider, held of the account if it is to be given
-- back; ARGV id, provider, used, per minute) gives the places back; and the token, if the provider was
-- not called.
redis.call('ZREM', KEYS[4], ARGV[1])
if KEYS[5] then
  redis.call('ZREM', KEYS[5], ARGV[1])
end
breaker.give_up(KEYS[2], ARGV[1])
local per_minute = number(redis.call('HGET', KEYS[1], ARGV[2] .. '.per_minute'), tonumber(ARGV[4]))
if ARGV[3] == 'no' and per_minute > 0 then
  rate.take(KEYS[3], per_minute, -1, clock())
end
return 1
