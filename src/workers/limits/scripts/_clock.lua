-- clock() returns the store's time in ms; number(text, default) reads what a hash or ARGV has.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function number(text, default)
  return tonumber(text or '') or default
end

-- digits(value) writes a number of ms in full; concatenating would write 1e+14.
local function digits(value)
  return string.format('%.0f', value)
end
