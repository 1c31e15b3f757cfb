-- read(meta, reservation, window...; offset_ms)
--
-- Reads a reservation and windows in one moment. A reservation is not asked for when its key is the
-- meta key. Answers DONE (now, sequence, reservation as field-value pairs, r, c, f of each window;
-- '' for a window that is not loaded), NOT_LOADED.

local meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
local reservation = {}
if KEYS[2] ~= KEYS[1] then
  reservation = redis.call('HGETALL', KEYS[2])
end
local counts = {}
for i = 3, #KEYS do
  local values = redis.call('HMGET', KEYS[i], 'r', 'c', 'f')
  for j = 1, 3 do
    counts[#counts + 1] = values[j] or ''
  end
end
local sequence = redis.call('HGET', KEYS[1], 'sequence')
return { 'DONE', fmt(meta.now), sequence, reservation, counts }
