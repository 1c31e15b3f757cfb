-- breaker(key): leaves a provider alone that fails: closed -> open -> one probe -> closed or open.
--
-- A hash: failures (in a row, while it is closed), until (it is open till then, and asks for a probe
-- from then on), openings (in a row, each twice as long), probe (who tries it), cooldown (till when
-- the provider has asked to be left alone; it opens nothing).
local breaker = {}

-- Returns in how many ms to ask again, and why; 0 if the provider may be called.
function breaker.look(key, held, id, now)
  local found = redis.call('HMGET', key, 'until', 'probe', 'cooldown')
  local cooldown = number(found[3], 0)
  if cooldown > now then
    return cooldown - now, 'cooldown'
  end
  if not found[1] then
    return 0
  end
  if number(found[1], 0) > now then
    return number(found[1], 0) - now, 'breaker_open'
  end
  local probe = found[2] or ''
  -- A probe that has died holds its place no more, though nobody may have tidied it away.
  if probe ~= '' and probe ~= id and number(redis.call('ZSCORE', held, probe), 0) > now then
    return 1000, 'breaker_probing'
  end
  return 0
end

-- Whoever calls while it is not closed is the probe.
function breaker.take(key, id)
  if redis.call('HEXISTS', key, 'until') == 1 then
    redis.call('HSET', key, 'probe', id)
  end
end

-- Returns whether `id` was the probe, and is no more.
function breaker.give_up(key, id)
  if redis.call('HGET', key, 'probe') ~= id then
    return false
  end
  redis.call('HDEL', key, 'probe')
  return true
end

local function open(key, ms, openings, now)
  redis.call('HDEL', key, 'failures', 'probe')
  redis.call('HSET', key, 'until', digits(now + ms), 'openings', digits(openings))
  -- Forgotten if nobody has wanted the provider for an hour.
  redis.call('PEXPIRE', key, digits(ms + 3600000))
  return 'opened'
end

-- outcome: succeeded | counts | opens | ignores. Returns opened, closed or ''.
-- policy: failures_max, open_ms, open_ms_max.
function breaker.report(key, id, outcome, policy, now)
  local is_closed = redis.call('HEXISTS', key, 'until') == 0
  local is_probe = breaker.give_up(key, id)
  if outcome == 'opens' then
    return open(key, policy.open_ms_max, 1, now)
  end
  if is_closed and outcome == 'succeeded' then
    redis.call('HDEL', key, 'failures')
  elseif is_closed and outcome == 'counts' then
    if redis.call('HINCRBY', key, 'failures', 1) >= policy.failures_max then
      return open(key, policy.open_ms, 1, now)
    end
    redis.call('PEXPIRE', key, 3600000)
  elseif is_probe and outcome == 'succeeded' then
    redis.call('HDEL', key, 'until', 'openings')
    return 'closed'
  elseif is_probe and outcome == 'counts' then
    local openings = number(redis.call('HGET', key, 'openings'), 1) + 1
    local ms = math.min(policy.open_ms * 2 ^ math.min(openings - 1, 20), policy.open_ms_max)
    return open(key, ms, openings, now)
  end
  -- What calls come to that were begun before it opened says nothing about the time since.
  return ''
end
