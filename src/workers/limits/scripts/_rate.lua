-- rate(key): a token bucket. What is stored is the time at which it would be full again.
--
-- It holds `burst` tokens and gains one each `step_ms`, such that no 60 s see more than `per_minute`
-- of them taken: what it can gain in a minute and what it holds are `per_minute` together.
local rate = {}

function rate.shape(per_minute)
  local burst = math.max(1, math.floor(per_minute / 10))
  return burst, 60000 / math.max(1, per_minute - burst)
end

-- Returns how many tokens there are, and in how many ms there are `wanted`.
function rate.look(key, per_minute, wanted, now)
  local burst, step_ms = rate.shape(per_minute)
  local full = math.max(number(redis.call('GET', key), now), now)
  local tokens = math.floor((now - full) / step_ms + burst)
  return tokens, math.max(0, math.ceil(full + (wanted - burst) * step_ms - now))
end

-- A token that was taken for nothing is given back by a count of -1.
function rate.take(key, per_minute, count, now)
  local _, step_ms = rate.shape(per_minute)
  local full = math.max(number(redis.call('GET', key), now), now) + count * step_ms
  if full > now then
    redis.call('SET', key, string.format('%.3f', full), 'PX', digits(math.ceil(full - now) + 1000))
  else
    redis.call('DEL', key)
  end
end
