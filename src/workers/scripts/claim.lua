-- claim(KEYS queue, polite, turn, paused; ARGV wanted, claim, lease ms, kind, prefix, patience ms)
-- -> {id, score, ...}: takes up to `wanted` jobs that nobody has and whose time has come.
--
-- `claim` names this very call, so that one whose answer was lost gets the same jobs again. A queue
-- may hold any number of running jobs: it is read on and on past them. First come polite jobs that
-- have waited for `patience`, one in four, lest others starve in turn; then what is due, in order
-- of score; then, as nobody is in the way, the other polite ones.
local wanted, claim, lease_ms, prefix = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[5]
local PAGE, ONE_IN = 500, 4

if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end
local paused = redis.call('HMGET', KEYS[4], 'all', ARGV[4])
if paused[1] or paused[2] then
  return {}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken, count = {}, 0
local polite = redis.call('ZRANGE', KEYS[2], 0, PAGE - 1, 'WITHSCORES')
local has_polite = #polite > 0

-- Takes what is free of a page of ids and scores, while fewer than `most` are taken.
local function take(page, most, is_polite)
  if #page == 0 or count >= most then
    return
  end
  local names = {}
  for at = 1, #page, 2 do
    names[#names + 1] = prefix .. page[at]
  end
  local claims = redis.call('MGET', unpack(names))
  for at = 1, #page, 2 do
    local id, found = page[at], claims[(at + 1) / 2]
    if count < most and not taken[id] and (not found or found == claim) then
      local score = is_polite and redis.call('ZSCORE', KEYS[1], id) or page[at + 1]
      if not score then
        -- It was cancelled while it waited.
        redis.call('ZREM', KEYS[2], id)
      else
        redis.call('SET', prefix .. id, claim, 'PX', lease_ms)
        if has_polite then
          redis.call('ZREM', KEYS[2], id)
        end
        if is_polite then
          -- Once begun it is polite no more: should its worker die, it runs again at once.
          score = string.format('%.0f', math.min(tonumber(score), now))
          redis.call('ZADD', KEYS[1], score, id)
        end
        taken[id], count = true, count + 1
        taken[#taken + 1] = id
        taken[#taken + 1] = score
      end
    end
  end
end

local has_waited = has_polite and tonumber(polite[2]) <= now - tonumber(ARGV[6])
local turn = has_waited and tonumber(redis.call('GET', KEYS[3]) or 0) or 0
if has_waited then
  take(polite, math.floor((turn + wanted) / ONE_IN), true)
end
local from = 0
while count < wanted do
  local page = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.0f', now), 'BYSCORE',
    'LIMIT', from, PAGE, 'WITHSCORES')
  take(page, wanted, false)
  from = from + PAGE
  if #page < 2 * PAGE then
    break
  end
end
take(polite, wanted, true)
if has_waited and count > 0 then
  redis.call('SET', KEYS[3], (turn + count) % ONE_IN, 'PX', 600000)
end
return taken
