-- call(): what the items of one call share, glued on behind the prelude.
--
-- Everything is read once, at the beginning, and written once, at the end (_outbox.lua). In between
-- the items work on what is here. An item changes counts in place and stages what else it writes;
-- should it fault, its counts are put back and the rest is dropped, so that a fault leaves nothing
-- behind.
--
-- Here, and in what every Reserve and Commit runs through, tables are made with all their fields at
-- once or are used again, and lists are gone through by number: to let a table grow, and to ask ipairs
-- for each element, took a tenth of a call.

local verbs = {}      -- by name: a function for each kind of item
local meta, now_text  -- the tenant's, and the time of all that is decided now
local item = { number = 0 } -- the item that is being decided; the same table for all of them
local values = {}     -- by key: the packed string that stands there, or false
local places = {}     -- by the ref of a window or lot: its key
local counted = {}    -- by that ref: what is counted there
local changed = {}    -- the counts that the present item has changed, in order, and how many
local changed_count = 0
local puts = {}       -- what the present item has staged: keys, values, and for how long, by turns
local put_count = 0
local dirty = {}      -- the counts that are to be written, each as a key
local pending = {}    -- by reservation: what is to become of its expiry: a time, or false for none
local pending_count = 0

-- Returns the counts of a window or lot, or why not: its key is not declared, or not loaded.
local function counts_of(ref)
  local counts, key = counted[ref], places[ref]
  if counts then
    return counts
  end
  if not key or not values[key] then
    return nil, { key and 'MISSING' or 'MISPLACED' }
  end
  local r, c, f = string.match(values[key], '^(%d+) (%d+) (%d+)$')
  assert(r, key .. ' is unreadable')
  counts = {
    ref = ref, unit = string.match(ref, '%u+$'), key = key,
    r = number_of(r), c = number_of(c), f = number_of(f), r0 = 0, c0 = 0, f0 = 0, item = 0,
  }
  counted[ref] = counts
  return counts
end

-- Adds to counts, and remembers what they were before the present item.
local function add(counts, r, c, f)
  if r == 0 and c == 0 and f == 0 then
    return
  end
  if counts.item ~= item.number then
    counts.item, counts.r0, counts.c0, counts.f0 = item.number, counts.r, counts.c, counts.f
    changed_count = changed_count + 1
    changed[changed_count] = counts
  end
  counts.r, counts.c, counts.f = counts.r + r, counts.c + c, counts.f + f
end

-- Says, for the ledger, what the present item has added to which counts.
local function deltas()
  local text, last_r, last_c, last_f, amounts = ''
  for i = 1, changed_count do
    local counts = changed[i]
    local r, c, f = counts.r - counts.r0, counts.c - counts.c0, counts.f - counts.f0
    if r ~= last_r or c ~= last_c or f ~= last_f then
      -- Mostly it is the same for all windows of a unit.
      last_r, last_c, last_f = r, c, f
      amounts = ',' .. fmt(r) .. ',' .. fmt(c) .. ',' .. fmt(f)
    end
    text = text .. (i > 1 and ' ' or '') .. counts.ref .. amounts
  end
  return text
end

-- Stages a value for a key, to be written if the item is decided. Nothing may be refused behind the
-- outbox, so what the store would not keep for so long faults here.
local function put(key, value, keep_ms)
  assert(keep_ms > 0 and keep_ms < AMOUNT_MAX, key .. ' can not be kept')
  puts[put_count + 1], puts[put_count + 2], puts[put_count + 3] = key, value, keep_ms
  put_count = put_count + 3
end

-- Stages when a reservation expires; false if it does not any more.
local function set_expiry(id, expires)
  item.expiring, item.expires = id, expires
end

-- Takes over what the present item has changed.
local function keep()
  for i = 1, changed_count do
    dirty[changed[i]] = true
  end
  local id = item.expiring
  if id then
    pending_count = pending_count + (pending[id] == nil and 1 or 0)
    pending[id] = item.expires
  end
end

-- Puts back what the present item has changed.
local function drop()
  for i = 1, changed_count do
    local counts = changed[i]
    counts.r, counts.c, counts.f = counts.r0, counts.c0, counts.f0
  end
end

-- Returns when the earliest open reservation expires, or '0'.
local function next_expiry()
  local earliest = math.huge
  for _, expires in pairs(pending) do
    earliest = math.min(earliest, expires and tonumber(expires) or math.huge)
  end
  -- Of one more than are pending here, one at least is as the store has it.
  local stored = redis.call('ZRANGE', KEYS[3], 0, pending_count, 'WITHSCORES')
  for i = 1, #stored, 2 do
    if pending[stored[i]] == nil then
      earliest = math.min(earliest, tonumber(stored[i + 1]))
      break
    end
  end
  return earliest < math.huge and fmt(earliest) or '0'
end

-- Returns some reservations that have expired, but for those that this call has settled already.
local function some_expired()
  local expired, most = {}, 16
  local some = most + pending_count
  local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now_text, 'LIMIT', 0, some)
  for _, id in ipairs(due) do
    if pending[id] == nil and #expired < most then
      expired[#expired + 1] = id
    end
  end
  return expired
end
