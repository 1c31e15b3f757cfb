-- leases(): budgets of the platform, of which a tenant may decide over a leased part, glued on behind
-- the outbox.
--
-- A tenant counts what it uses of such a budget as of any other; its limit is its lease, `amount
-- version` in a key of its own. Where a lease is too small a script asks for more and decides nothing
-- yet: LEASE (window, used, asked for, by turns). What could not be had is told it as `refused`, and
-- then the lease is a limit like others.

local refused = {}  -- by ref: whether more was asked for and could not be had

-- Returns the amount of a window's lease; nil if it is not loaded.
local function lease_of(ref)
  local key = places['lease:' .. ref]
  local packed = key and values[key]
  return packed and number_of(string.match(packed, '^%d+'))
end

-- Reads for which windows the present item can't have more.
local function read_refused(text)
  refused = {}
  for ref in string.gmatch(text, '%S+') do
    refused[ref] = true
  end
end

-- What is used of a window; below zero where more was given back than was ever charged.
local function used_of(counts)
  return counts.r + (counts.c - counts.f)
end

-- Says whether a window's limit is a lease that may grow.
local function may_grow(window)
  return window.is_leased and not refused[window.counts.ref]
end

-- Adds to what is asked for, which may be nil: more for a window, of which so much is to be used.
local function ask(asked, counts, amount)
  asked = asked or { 'LEASE' }
  asked[#asked + 1], asked[#asked + 2] = counts.ref, string.format('%d', used_of(counts))
  asked[#asked + 1] = fmt(amount)
  return asked
end

-- Returns what is to be asked for before amounts may be used, and so many reservations opened; nil if
-- all of it is leased.
local function lacking(context, amounts, opens)
  local asked
  if context.has_leases then
    for i = 1, #context.windows do
      local window = context.windows[i]
      local amount = amounts[window.unit] or (window.unit == 'RESERVATIONS' and opens)
      if amount and may_grow(window) and amount > window.amount - used_of(window.counts) then
        asked = ask(asked, window.counts, amount)
      end
    end
  end
  return asked
end
