-- policy(): how the texts of a call are read, glued on behind the call.
--
-- What an item must know of the tenant's policy is a context, which names definitions of windows
-- and lots by their places among the texts. Equal texts are sent once in a call, and read once.

local texts = {}        -- by place: the text
local definitions = {}  -- by place: a window or lot, as it was read
local contexts = {}     -- by place: a context, as it was read

-- Reads `ref amount kind mark effective expires start finish` of a window (kind: its enforcement,
-- mark: '1' if its account may be in debt, '2' if its limit is a lease) or of a lot (kind: the id of
-- its grant).
local function definition_of(place)
  local read = definitions[place]
  if not read then
    local ref, amount, kind, mark, effective, expires, start, finish =
      string.match(texts[place], '^(%S+) (%d+) (%S+) (%d) (%d+) (%d+) (%-?%d+) (%d+)$')
    start, finish = number_of(start), number_of(finish)
    effective, expires = number_of(effective), number_of(expires)
    read = {
      ref = ref, unit = string.match(ref, '%u+$'), amount = number_of(amount), id = kind,
      enforcement = kind, may_owe = mark == '1', counts = counts_of(ref),
      is_over = finish > 0 and (meta.now < start or meta.now >= finish),
      is_active = meta.now >= effective and (expires == 0 or meta.now < expires),
      is_leased = mark == '2',
    }
    if read.is_leased then
      read.amount = lease_of(ref)
      read.counts = read.amount and read.counts
    end
    definitions[place] = read
  end
  return read
end

-- Reads definitions; notes in the context which can't be used.
local function read_definitions(context, places_text)
  local list = {}
  for place in string.gmatch(places_text, '%d+') do
    local read = definition_of(tonumber(place))
    list[#list + 1] = read
    context.is_over = context.is_over or read.is_over
    context.is_missing = context.is_missing or not read.counts
    context.counts_open = context.counts_open or read.unit == 'RESERVATIONS'
    context.has_leases = context.has_leases or read.is_leased
  end
  return list
end

-- Reads `policy;rule;limits;windows;lots;prepaid;rates;marks`:
--   policy   the version that it was made from
--   rule     of Reserve: why the account may not reserve, or '', and behind an '@' when it ends; of Commit: the
--            overage policy
--   limits   of a reservation's windows: an amount each, '-' where none binds;
--            'lease' where it is one, 'soft' where it is one that denies nothing
--   windows  places of the definitions of windows
--   lots     the same of lots, in the order in which they are spent
--   prepaid  the units that must be covered by grants
--   rates    key:reserves a minute
--   marks    of the windows, in their order: what is crossed at which amounts (_thresholds.lua), or '-'
-- Gathers the lots into pools by unit; those that have expired are in `all`, and count as debt.
local function context_of()
  local context = contexts[item.context]
  if context then
    return context
  end
  local policy, rule, limits, windows, lots, prepaid, rates, marks = string.match(
    texts[item.context], '^(%d+);([^;]*);([^;]*);([^;]*);([^;]*);([^;]*);([^;]*);(.*)$')
  local why, ends = string.match(rule, '^(.-)@(%d+)$')
  if ends then
    rule = meta.now >= number_of(ends) and 'ACCOUNT_CLOSED' or why
  end
  context = { policy = policy, rule = rule, limits = {}, pools = {}, rates = {}, lowest = {}, marks = {} }
  for limit in string.gmatch(limits, '%S+') do
    local is_leased = limit == 'lease' or limit == 'soft'
    context.has_leases = context.has_leases or is_leased
    context.limits[#context.limits + 1] = is_leased and limit or (limit ~= '-' and number_of(limit))
  end
  context.windows = read_definitions(context, windows)
  context.lots = read_definitions(context, lots)
  for unit in string.gmatch(prepaid, '%S+') do
    context.pools[unit] = { lots = {}, all = {} }
  end
  for _, lot in ipairs(context.lots) do
    local pool = context.pools[lot.unit]
    if pool then
      pool.all[#pool.all + 1] = lot
      if lot.is_active then
        pool.lots[#pool.lots + 1] = lot
      end
    end
  end
  for key, per_minute in string.gmatch(rates, '(%d+):(%d+)') do
    context.rates[#context.rates + 1] = { KEYS[tonumber(key)], tonumber(per_minute) }
  end
  for lowest, mark in string.gmatch(marks, '([%d-]+)(%S*)') do
    local place = #context.lowest + 1
    context.lowest[place], context.marks[place] = lowest ~= '-' and number_of(lowest), mark
  end
  contexts[item.context] = context
  return context
end

-- Reads `UNIT:amount UNIT:amount`; returns the amounts by unit, and the units in order.
local function read_legs(text)
  local amounts, units = {}, {}
  for unit, amount in string.gmatch(text, '(%u+):(%-?%d+)') do
    amounts[unit], units[#units + 1] = number_of(amount), unit
  end
  return amounts, units
end
