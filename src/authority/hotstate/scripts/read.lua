-- read(meta, reservation, window...; offset_ms)
--
-- Reads a reservation and windows in one moment. A reservation is not asked for when its key is the
-- meta key. Answers DONE (now, sequence, a list of the packed reservation and the packed counts of each
-- window; '' for what is not loaded), NOT_LOADED.

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local packed = {}
for i = 2, #KEYS do
  packed[i - 1] = KEYS[i] ~= KEYS[1] and redis.call('GET', KEYS[i]) or ''
end
return { 'DONE', fmt(meta.now), fmt(meta.sequence), packed }
