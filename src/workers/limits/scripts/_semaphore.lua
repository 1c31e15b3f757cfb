-- semaphore(keys): who may hold one of `limit` places at once, by rank, each for a lease.
--
-- held     zset: id -> when its lease ends. A holder that dies renews no more, and its place is free.
-- waiting  zset: id -> rank, lower is sooner. Nobody overtakes one that has a lower rank.
-- asked    zset: id -> until when it is believed to be still waiting. One that asks no more is gone.
local semaphore = {}

function semaphore.tidy(keys, now)
  redis.call('ZREMRANGEBYSCORE', keys.held, '-inf', digits(now))
  local gone = redis.call('ZRANGE', keys.asked, '-inf', digits(now), 'BYSCORE', 'LIMIT', 0, 1000)
  if #gone > 0 then
    redis.call('ZREM', keys.asked, unpack(gone))
    redis.call('ZREM', keys.waiting, unpack(gone))
  end
end

-- Returns how many are before `id`, and how many places are free; nil is for places without end.
function semaphore.look(keys, limit, id, rank, now)
  semaphore.tidy(keys, now)
  local before = redis.call('ZCOUNT', keys.waiting, '-inf', '(' .. rank)
  if limit == 0 or redis.call('ZSCORE', keys.held, id) then
    return before, nil
  end
  return before, limit - redis.call('ZCARD', keys.held)
end

function semaphore.leave(keys, id)
  redis.call('ZREM', keys.waiting, id)
  redis.call('ZREM', keys.asked, id)
end

function semaphore.wait(keys, id, rank, until_ms, now)
  redis.call('ZADD', keys.waiting, rank, id)
  redis.call('ZADD', keys.asked, digits(until_ms), id)
  local life = digits(until_ms - now + 60000)
  redis.call('PEXPIRE', keys.waiting, life)
  redis.call('PEXPIRE', keys.asked, life)
end

function semaphore.take(keys, id, lease_ms, now)
  semaphore.leave(keys, id)
  redis.call('ZADD', keys.held, digits(now + lease_ms), id)
end
