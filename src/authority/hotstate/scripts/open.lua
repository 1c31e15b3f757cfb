-- open(meta, expiries; sequence, policy, has_history, offset_ms, now_ms, (expires_ms, reservation_id)...)
--
-- Lets a fenced tenant serve in this epoch: its sequence goes on from the ledger's, and its open
-- reservations are due as the ledger says. Answers DONE, or FENCED if another epoch was opened.

assert(fmt(AMOUNT_MAX) == '9007199254740991', 'this server does not write whole numbers')
if redis.call('HGET', KEYS[1], 'epoch') ~= '' then
  return { 'FENCED' }
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[4])
now = math.max(now, tonumber(ARGV[5]))
-- A tenant without history has no answers that the ledger must be asked for.
local loaded = ARGV[3] == '1' and fmt(now) or '0'
for i = 6, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'epoch', EPOCH, 'sequence', ARGV[1], 'policy', ARGV[2], 'loaded', loaded, 'now', fmt(now))
return { 'DONE' }
