-- policy(meta; version)
--
-- Makes older versions of the tenant's policy stale, so that a changed limit binds the next Reserve
-- on every process. Answers DONE, NOT_LOADED.

local meta = open(KEYS[1], '0')
if not meta then
  return { 'NOT_LOADED' }
end
if tonumber(ARGV[1]) > tonumber(meta.policy) then
  redis.call('HSET', KEYS[1], 'policy', ARGV[1])
end
return { 'DONE' }
