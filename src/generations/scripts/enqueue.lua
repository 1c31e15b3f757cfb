-- enqueue(KEYS job, result, queue, polite; ARGV id, entry, expiry ms, offset ms, since ms, run at ms,
-- channel) -> 1, or 0 if the job is there or has ended lately.
--
-- All or nothing, whatever becomes of the connection; and by the store's clock, as all hosts read it.
-- `since` and `run at` may be ''. A job that only lets others go first is `polite`: workers with
-- nothing else to do look for it there, and take it before its score says so.
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = math.min(tonumber(ARGV[5]) or now, now)
local offset, run_at = tonumber(ARGV[4]), tonumber(ARGV[6]) or 0
local score = since + offset
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if run_at > now then
  score = run_at
elseif offset > 0 then
  redis.call('ZADD', KEYS[4], string.format('%.0f', since), ARGV[1])
end
redis.call('ZADD', KEYS[3], string.format('%.0f', score), ARGV[1])
redis.call('PUBLISH', ARGV[7], ARGV[1])
return 1
