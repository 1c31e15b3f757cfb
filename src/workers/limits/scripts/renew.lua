-- renew(KEYS life, then a held for each group; ARGV lease ms, renew ms, run seen, then for each group
-- how many ids and the ids) -> run. Adds what is held anew, as it may have been lost.
local now = clock()
local run = life.look(KEYS[1], ARGV[3], tonumber(ARGV[2]), now)
local at, expiry = 4, digits(now + tonumber(ARGV[1]))
for group = 2, #KEYS do
  local members = {}
  for position = at + 1, at + tonumber(ARGV[at]) do
    members[#members + 1] = expiry
    members[#members + 1] = ARGV[position]
  end
  redis.call('ZADD', KEYS[group], unpack(members))
  at = at + tonumber(ARGV[at]) + 1
end
return run
