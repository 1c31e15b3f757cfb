-- decide(meta, outbox, expiries, window or lot..., other...; offset_ms, count of windows, count of
--        texts, text..., (verb, count of arguments, operation, request, checked, answer,
--        reservation, context, argument...)...)
--
-- Decides a list of items, one after the other, each for itself. `other` are answers, reservations
-- and rates, which items name by their place among these, '0' for none; `context` is a place among
-- the texts. An item's verb is a function of the file of that name, which says its arguments and
-- what it answers.
-- Answers NOT_LOADED, or for each item what its verb does, or FAULT (what went wrong): such an item
-- has changed nothing.

-- Reads all that the items may look at.
local function read_all()
  for i = 4, FIRST_OF_OTHERS do
    places[string.match(KEYS[i], ':window:(.*)$')] = KEYS[i]
  end
  -- No more at once than fits on the stack of the interpreter.
  for first = 4, #KEYS, 1000 do
    local last = math.min(first + 999, #KEYS)
    for i, value in ipairs(redis.call('MGET', unpack(KEYS, first, last))) do
      values[KEYS[first + i - 1]] = value
    end
  end
  for i = 1, tonumber(ARGV[3]) do
    texts[i] = ARGV[3 + i]
  end
end

local function run(...)
  local verb = verbs[item.verb]
  if item.answer then
    local first = first_answer()
    if first or must_look_up() then
      return first or { 'LOOK_UP' }
    end
  end
  return verb(...)
end

local written = {}  -- by key: the value and for how long it is kept
local dirty = {}    -- the counts that are to be written, each as a key

-- Takes over what the present item has staged.
local function keep()
  for _, staged in ipairs(item.puts) do
    values[staged[1]], written[staged[1]] = staged[2], staged
  end
  for _, counts in ipairs(changed) do
    dirty[counts] = true
  end
  if item.expiry then
    pending[item.expiry[1]] = item.expiry[2]
  end
end

-- Puts back what the present item has changed.
local function drop()
  for _, counts in ipairs(changed) do
    counts.r, counts.c, counts.f = counts.r0, counts.c0, counts.f0
  end
end

local function decide(at)
  item = {
    verb = ARGV[at], operation = ARGV[at + 2], request = ARGV[at + 3], checked = ARGV[at + 4],
    answer = key_at(ARGV[at + 5]), reservation = key_at(ARGV[at + 6]),
    context = tonumber(ARGV[at + 7]), puts = {},
  }
  changed = {}
  local is_sound, answer = pcall(run, unpack(ARGV, at + 8, at + 7 + tonumber(ARGV[at + 1])))
  if is_sound then
    keep()
    return answer
  end
  drop()
  local problem = type(answer) == 'table' and answer.err or answer
  -- A client that knows several servers looks for another one when a reply says this.
  if string.match(problem, '^READONLY') then
    error(answer)
  end
  return { 'FAULT', problem }
end

-- Writes what the items have changed. What is in the outbox must be here too: from the first of
-- these on, nothing is left that the store could refuse.
local function write_all(first_sequence)
  for key, staged in pairs(written) do
    redis.call('SET', key, staged[2], 'PX', staged[3])
  end
  for counts in pairs(dirty) do
    local packed = string.format('%.0f %.0f %.0f', counts.r, counts.c, counts.f)
    redis.call('SET', counts.key, packed, 'PX', KEEP_MS)
  end
  if meta.sequence > first_sequence then
    redis.call('HSET', KEYS[1], 'sequence', fmt(meta.sequence), 'now', fmt(meta.now))
  end
  write_expiries()
end

meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
read_all()
local first_sequence, answers, at = meta.sequence, {}, 4 + tonumber(ARGV[3])
while ARGV[at] do
  answers[#answers + 1] = decide(at)
  at = at + 8 + tonumber(ARGV[at + 1])
end
write_all(first_sequence)
return answers
