-- call(): what the items of one call share, glued on behind the prelude.
--
-- Everything is read once, at the beginning; counts, expiries and the sequence are written once, at
-- the end (decide.lua). In between the items work on what is here. An item changes counts in place
-- and stages what else it writes; should it fault, its counts are put back and the rest is dropped,
-- so that a fault leaves nothing behind.

local verbs = {}      -- by name: a function for each kind of item
local meta, now_text  -- the tenant's, and the time of all that is decided now
local item            -- the item that is being decided
local values = {}     -- by key: the packed string that stands there, or false
local places = {}     -- by the ref of a window or lot: its key
local counted = {}    -- by that ref: what is counted there
local changed = {}    -- the counts that the present item has changed, in order
local pending = {}    -- by reservation: what is to become of its expiry: a time, or false for none

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
  local parts, last_r, last_c, last_f, amounts = {}
  for i, counts in ipairs(changed) do
    local r, c, f = counts.r - counts.r0, counts.c - counts.c0, counts.f - counts.f0
    if r ~= last_r or c ~= last_c or f ~= last_f then
      -- Mostly it is the same for all windows of a unit.
      last_r, last_c, last_f, amounts = r, c, f, string.format(',%d,%d,%d', r, c, f)
    end
    parts[i] = counts.ref .. amounts
  end
  return table.concat(parts, ' ')
end

-- Stages a value for a key, to be written if the item is decided.
local function put(key, value, keep_ms)
  local puts = item.puts
  local count = #puts
  puts[count + 1], puts[count + 2], puts[count + 3] = key, value, keep_ms
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
  local entry, request, result = string.match(packed, '^([^\n]*)\n([^\n]*)\n(.*)$')
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

-- Returns a result as it is written (domain/operations.py says how): a line of numbers, lines of
-- what was moved, a line of JSON for what is rarely there, and a packed reservation.
local function packed_result(result, sequence)
  return item.operation .. ' ' .. fmt(sequence) .. ' ' .. EPOCH .. ' ' .. now_text .. '\n'
    .. (result.deltas or '') .. '\n' .. (result.moves or '') .. '\n'
    .. (result.restored or '') .. '\n' .. (result.more or '') .. '\n' .. (result.reservation or '')
end

-- Decides: puts the operation into the outbox, and then writes the answer to its key, if it has one,
-- and what was staged. It is the last step of an item. A store that refuses to write does so at the
-- outbox, before anything was changed, and can refuse nothing after that.
local function record(result)
  local text = packed_result(result, meta.sequence + 1)
  local entry = redis.call('XADD', KEYS[2], '*', 'request', item.request, 'result', text)
  meta.sequence, item.is_decided = meta.sequence + 1, true
  local key, puts = item.answer, item.puts
  if key then
    values[key] = entry .. '\n' .. item.request .. '\n' .. text
    redis.call('SET', key, values[key], 'PX', ANSWER_MS)
  end
  for i = 1, #puts, 3 do
    values[puts[i]] = puts[i + 1]
    redis.call('SET', puts[i], puts[i + 1], 'PX', puts[i + 2])
  end
  return { 'DONE', text, entry }
end

-- Answers what a decision would be, and writes nothing.
local function check(result)
  return { 'CHECKED', packed_result(result, 0), '' }
end
