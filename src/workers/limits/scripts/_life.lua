-- life(key): notices that the store has lost places that workers still hold.
--
-- They renew what they hold by adding it again, so that all is as before one renewal after a
-- FLUSHALL, or after a restart that lost the last second. Till then nobody is let in. A hash: run (of
-- the server), since (it was first seen), warm (till when to wait). `seen` is the run that the caller
-- knew, '' if none: then it holds nothing, and a store that starts with it is not waited for.
local life = {}

-- Returns the run, and in how many ms to ask again.
function life.look(key, seen, renew_ms, now)
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local found = redis.call('HMGET', key, 'run', 'since', 'warm')
  local since, warm = number(found[2], now), number(found[3], 0)
  local is_new = found[1] ~= run
  if is_new then
    since = now
    redis.call('HSET', key, 'run', run, 'since', digits(now))
  end
  if seen ~= '' and (is_new or seen ~= run) then
    warm = since + renew_ms
    redis.call('HSET', key, 'warm', digits(warm))
  end
  return run, math.max(0, warm - now)
end
