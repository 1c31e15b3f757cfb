-- release(KEYS limits, rate, held of the provider, held of the account if it is to be given back;
-- ARGV id, provider, used, per minute) gives the places back; and the token, if the provider was not
-- called. A probe without its place is none any more.
redis.call('ZREM', KEYS[3], ARGV[1])
if KEYS[4] then
  redis.call('ZREM', KEYS[4], ARGV[1])
end
local per_minute = number(redis.call('HGET', KEYS[1], ARGV[2] .. '.per_minute'), tonumber(ARGV[4]))
if ARGV[3] == 'no' and per_minute > 0 then
  rate.take(KEYS[2], per_minute, -1, clock())
end
return 1
