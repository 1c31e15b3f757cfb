-- load(meta, reservation or meta, window or lease...; packed reservation or '', value of each...)
--
-- Brings in what the ledger has and this store has not; what is here already is newer and stays.
-- Answers DONE, NOT_LOADED.

local meta = open(KEYS[1], '0')
if not meta then
  return { 'NOT_LOADED' }
end
if ARGV[1] ~= '' then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', KEEP_MS, 'NX')
end
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i - 1], 'PX', KEEP_MS, 'NX')
end
return { 'DONE' }
