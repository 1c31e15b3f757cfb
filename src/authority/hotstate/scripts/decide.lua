-- decide(meta, outbox, expiries, other..., window or lot...; offset_ms, count of others, count of
--        texts, text..., (head, operation, request, argument...)...)
--
-- Decides a list of items, one after the other, each for itself. `other` are answers, reservations
-- and rates. A head is `verb checked answer reservation context count`: two places among the keys
-- and one among the texts, 0 for none, and how many arguments there are. An item's verb is a
-- function of the file of that name, which says its arguments and what it answers.
-- Answers NOT_LOADED, or for each item what its verb does, or FAULT (what went wrong): such an item
-- has changed nothing.

-- Reads all that the items may look at.
local function read_all()
  for i = 4 + tonumber(ARGV[2]), #KEYS do
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

-- Decides the item at ARGV[at]; returns the answer, and where the next one is.
local function decide(at)
  local verb, checked, answer_key, reservation, context, count =
    string.match(ARGV[at], '^(%l+) (%d) (%d+) (%d+) (%d+) (%d+)$')
  local next_at = at + 3 + number_of(count)
  item.number, item.verb, item.checked = item.number + 1, verb, checked
  item.operation, item.request = ARGV[at + 1], ARGV[at + 2]
  item.answer, item.reservation = KEYS[number_of(answer_key)], KEYS[number_of(reservation)]
  item.context, item.expiring = number_of(context), nil
  changed_count, put_count = 0, 0
  local is_sound, answer = pcall(run, unpack(ARGV, at + 3, next_at - 1))
  if is_sound then
    keep()
    return answer, next_at
  end
  drop()
  return { 'FAULT', type(answer) == 'table' and answer.err or answer }, next_at
end

meta = open(KEYS[1], ARGV[1])
if not meta then
  return { 'NOT_LOADED' }
end
now_text = fmt(meta.now)
read_all()
local at = 4 + tonumber(ARGV[3])
while ARGV[at] do
  answers[#answers + 1], at = decide(at)
end
write_all()
return answers
