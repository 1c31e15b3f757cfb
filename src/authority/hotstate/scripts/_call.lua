-- call(): what the items of one call share, glued on behind the prelude.
--
-- Everything is read once, at the beginning, and what the items have changed is written once, at
-- the end (decide.lua). In between they work on what is here. An item changes counts in place and
-- stages what else it writes; should it fault, its counts are put back and the rest is dropped, so
-- that a fault leaves nothing behind.

local verbs = {}      -- by name: a function for each kind of item
local meta, item      -- the tenant's, and the item that is being decided
local values = {}     -- by key: the packed string that stands there, or false
local places = {}     -- by the ref of a window or lot: its key
local counted = {}    -- by that ref: what is counted there
local changed = {}    -- the counts that the present item has changed, in order
local pending = {}    -- by reservation: what is to become of its expiry: a time, or false for none

-- What stands behind the windows among the keys.
local FIRST_OF_OTHERS = 3 + tonumber(ARGV[2])

-- Returns one of these, by its place among them; nil for '0'.
local function key_at(place)
  return KEYS[tonumber(place) > 0 and FIRST_OF_OTHERS + tonumber(place) or 0]
end

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
  counts = { ref = ref, unit = string.match(ref, '%u+$'), key = key }
  counts.r, counts.c, counts.f = tonumber(r), tonumber(c), tonumber(f)
  counted[ref] = counts
  return counts
end

-- Adds to counts, and remembers what they were before the present item.
local function add(counts, r, c, f)
  if r == 0 and c == 0 and f == 0 then
    return
  end
  if counts.item ~= item then
    counts.item, counts.r0, counts.c0, counts.f0 = item, counts.r, counts.c, counts.f
    changed[#changed + 1] = counts
  end
  counts.r, counts.c, counts.f = counts.r + r, counts.c + c, counts.f + f
end

-- Says, for the ledger, what the present item has added to which counts.
local function deltas()
  local parts = {}
  for i, counts in ipairs(changed) do
    parts[i] = string.format('%s,%.0f,%.0f,%.0f',
      counts.ref, counts.r - counts.r0, counts.c - counts.c0, counts.f - counts.f0)
  end
  return table.concat(parts, ' ')
end

-- Stages a value for a key.
local function put(key, value, keep_ms)
  local puts = item.puts
  puts[#puts + 1] = { key, value, keep_ms }
end

-- Stages when a reservation expires; false if it does not any more.
local function set_expiry(id, expires)
  item.expiry = { id, expires }
end

-- Writes the expiries that are pending, so that the store can be asked for them.
local function write_expiries()
  local added, removed = {}, {}
  for id, expires in pairs(pending) do
    if expires then
      added[#added + 1], added[#added + 2] = expires, id
    else
      removed[#removed + 1] = id
    end
  end
  if #added > 0 then
    redis.call('ZADD', KEYS[3], unpack(added))
  end
  if #removed > 0 then
    redis.call('ZREM', KEYS[3], unpack(removed))
  end
  pending = {}
end

-- Returns when the earliest open reservation expires, or '0'.
local function next_expiry()
  write_expiries()
  return redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] or '0'
end

-- Returns the first answer of the item's idempotency key, or nil.
-- The third value is the outbox entry if the ledger may not have the operation yet.
local function first_answer()
  local packed = values[item.answer]
  if not packed then
    return nil
  end
  local entry, result, request = string.match(packed, '^([^\n]*)\n([^\n]*)\n(.*)$')
  if request ~= item.request then
    return { 'REUSED', request }
  end
  local waiting = redis.call('XRANGE', KEYS[2], entry, entry)
  return { 'REPLAYED', result, #waiting > 0 and entry or '' }
end

-- Says whether the ledger must be asked for the key before this store may decide: answers given
-- before the tenant was loaded are not here.
local function must_look_up()
  return item.checked ~= '1' and meta.now - meta.loaded < ANSWER_MS
end

local function encoded(result, sequence)
  result.operation, result.epoch = item.operation, EPOCH
  result.sequence, result.now = fmt(sequence), fmt(meta.now)
  return cjson.encode(result)
end

-- Decides: puts the operation into the outbox, and stages the answer to its key if it has one.
-- It is the last step of an item, and its only write: a store that refuses to write does so here,
-- before anything was changed.
local function record(result)
  local text = encoded(result, meta.sequence + 1)
  local entry = redis.call('XADD', KEYS[2], '*', 'request', item.request, 'result', text)
  meta.sequence = meta.sequence + 1
  if item.answer then
    put(item.answer, entry .. '\n' .. text .. '\n' .. item.request, ANSWER_MS)
  end
  return { 'DONE', text, entry }
end

-- Answers what a decision would be, and writes nothing.
local function check(result)
  return { 'CHECKED', encoded(result, 0), '' }
end
