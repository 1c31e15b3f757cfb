-- load(meta, reservation or meta, window...; reservation fields, (field, value)..., (r, c, f)...)
--
-- Brings in what the ledger has and this store has not; what is here already is newer and stays.
-- Answers DONE, NOT_LOADED.

local meta = open(KEYS[1], '0')
if not meta then
  return { 'NOT_LOADED' }
end
local fields = tonumber(ARGV[1])
if fields > 0 and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[2], unpack(ARGV, 2, 1 + 2 * fields))
  redis.call('PEXPIRE', KEYS[2], KEEP_MS)
end
local at = 2 + 2 * fields
for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('HSET', KEYS[i], 'r', ARGV[at], 'c', ARGV[at + 1], 'f', ARGV[at + 2])
    redis.call('PEXPIRE', KEYS[i], KEEP_MS)
  end
  at = at + 3
end
return { 'DONE' }
