-- lease(meta, lease, window; amount, ceiling, version)
--
-- Makes a lease what the ledger says, if that is newer than what is here. Where `amount` is below the
-- `ceiling`, which the ledger still counts, it is lowered; what is used of it is still to be counted.
-- Answers DONE (what is to be counted), SUPERSEDED (there is a newer one), MISSING (the window is not loaded),
-- NOT_LOADED.

local meta = open(KEYS[1], '0')
if not meta then
  return { 'NOT_LOADED' }
end
local amount, ceiling, version = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local stored = redis.call('GET', KEYS[2])
if stored and tonumber(string.match(stored, '%d+$')) >= version then
  return { 'SUPERSEDED' }
end
if not stored and amount == ceiling then
  -- This may be an older word that comes after a loss: what is not here is loaded from the ledger.
  return { 'SUPERSEDED' }
end
local counted = amount
if amount < ceiling then
  local counts = redis.call('GET', KEYS[3])
  if not counts then
    return { 'MISSING' }
  end
  local r, c, f = string.match(counts, '^(%d+) (%d+) (%d+)$')
  counted = math.max(amount, math.min(tonumber(r) + tonumber(c) - tonumber(f), ceiling))
end
redis.call('SET', KEYS[2], fmt(amount) .. ' ' .. fmt(version), 'PX', KEEP_MS)
return { 'DONE', fmt(counted) }
