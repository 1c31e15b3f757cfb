-- outbox(): what is decided, and how it is written, glued on behind the call.
--
-- What the items of a call decide is one entry of the outbox, of which each operation is a field: its
-- sequence, and its request and result as the ledger keeps them. It is the first thing that the call
-- writes. A store that refuses to write does so there, before anything was changed, and can refuse
-- nothing after that.
--
-- The ledger has the operations of a tenant without a gap. So when it has the last of an entry it has
-- all of it: the last alone is told the entry, and who journals it takes the entry out.

local outbox = {}     -- the fields of the entry: sequences and operations by turns
local outbox_count = 0
local answers = {}    -- what each item is answered
local answered = {}   -- by the key of an answer: the operation that was decided in this call
local staged = {}     -- by key of what is to be written there: for how long it is kept
local first_decided, last_decided -- the places of these items
local waiting = {}    -- by outbox entry: whether it is still there

-- Says whether the ledger may not have all of an entry yet.
local function is_waiting(entry)
  if waiting[entry] == nil then
    waiting[entry] = #redis.call('XRANGE', KEYS[2], entry, entry) > 0
  end
  return waiting[entry]
end

-- Returns the first answer of the item's idempotency key, or nil.
-- The third value is '1' if the ledger may not have the operation yet.
local function first_answer()
  local operation, waits = answered[item.answer], true
  if not operation then
    local stored = values[item.answer]
    if not stored then
      return nil
    end
    local entry
    entry, operation = string.match(stored, '^([^\n]*)\n(.*)$')
    waits = is_waiting(entry)
  end
  local request, result = string.match(operation, '^([^\n]*)\n(.*)$')
  if request ~= item.request then
    return { 'REUSED', request }
  end
  return { 'REPLAYED', result, waits and '1' or '' }
end

-- Says whether the ledger must be asked for the key before this store may decide: answers given
-- before the tenant was loaded are not here.
local function must_look_up()
  return item.checked ~= '1' and meta.now - meta.loaded < ANSWER_MS
end

-- Returns a result as it is written (domain/operations.py says how): a line of numbers, lines of
-- what was moved, a line of JSON for what is rarely there, and a packed reservation.
local function packed_result(result, sequence)
  return item.operation .. ' ' .. sequence .. ' ' .. EPOCH .. ' ' .. now_text .. '\n'
    .. (result.deltas or '') .. '\n' .. (result.moves or '') .. '\n'
    .. (result.restored or '') .. '\n' .. (result.more or '') .. '\n' .. (result.reservation or '')
end

-- Decides: the operation, its answer and what was staged are what the items behind it see, and what
-- is written in the end. It is the last step of an item.
local function record(result)
  local sequence = fmt(meta.sequence + 1)
  local text = packed_result(result, sequence)
  local operation = item.request .. '\n' .. text
  meta.sequence = meta.sequence + 1
  outbox[outbox_count + 1], outbox[outbox_count + 2] = sequence, operation
  outbox_count = outbox_count + 2
  if item.answer then
    answered[item.answer] = operation
  end
  for i = 1, put_count, 3 do
    values[puts[i]], staged[puts[i]] = puts[i + 1], puts[i + 2]
  end
  first_decided, last_decided = first_decided or item.number, item.number
  return { 'DONE', text, '' }
end

-- Answers what a decision would be, and writes nothing.
local function check(result)
  return { 'CHECKED', packed_result(result, '0'), '' }
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
end

-- Answers what can't be written down, and all behind it, which may stand on it, with a fault.
local function refuse(problem)
  -- A client that knows several servers looks for another one when a reply says this.
  if string.match(problem, '^READONLY') then
    error({ err = problem })
  end
  for i = first_decided, #answers do
    answers[i] = { 'FAULT', problem }
  end
end

-- Writes all that the items have decided and changed.
local function write_all()
  if last_decided then
    local entry = redis.pcall('XADD', KEYS[2], '*', unpack(outbox))
    if type(entry) == 'table' then
      return refuse(entry.err)
    end
    answers[last_decided][3] = entry
    for key, operation in pairs(answered) do
      redis.call('SET', key, entry .. '\n' .. operation, 'PX', ANSWER_MS)
    end
    for key, keep_ms in pairs(staged) do
      redis.call('SET', key, values[key], 'PX', keep_ms)
    end
    for counts in pairs(dirty) do
      local packed = fmt(counts.r) .. ' ' .. fmt(counts.c) .. ' ' .. fmt(counts.f)
      redis.call('SET', counts.key, packed, 'PX', KEEP_MS)
    end
    redis.call('HSET', KEYS[1], 'sequence', fmt(meta.sequence), 'now', now_text)
  end
  write_expiries()
end
