-- thresholds(): which percentages of which limits an item crosses, glued on behind the limits.
--
-- Decided here, in the step that charges, so that of all that charge a window, in whichever process,
-- one is the one that has crossed. Few windows are past their lowest percentage: what is behind that
-- in a mark, `,limit,percent:amount,...`, is read when it is needed and not before.

local steps = {} -- by mark: its limit, percentages and amounts, as they were read

local function steps_of(mark)
  local read = steps[mark]
  if not read then
    read = { limit = string.match(mark, '^,(%d+)') }
    for percent, amount in string.gmatch(mark, ',(%d+):(%d+)') do
      read[#read + 1], read[#read + 2] = tonumber(amount), percent
    end
    steps[mark] = read
  end
  return read
end

-- Returns, for the ledger, the JSON of what the present item has crossed: of each the window, the
-- percentage, what is charged now less what was refunded, and the limit; nil if there is nothing.
-- `windows` are counts in the order of the context's marks.
local function crossed(context, windows)
  local rows
  for i = 1, #windows do
    local counts, lowest = windows[i], context.lowest[i]
    local net = counts.c - counts.f
    if lowest and net >= lowest and counts.item == item.number then
      local before, read = counts.c0 - counts.f0, steps_of(context.marks[i])
      for at = 1, #read, 2 do
        if before < read[at] and net >= read[at] then
          rows = rows or {}
          rows[#rows + 1] = { counts.ref, read[at + 1], fmt(net), read.limit }
        end
      end
    end
  end
  return rows and cjson.encode({ crossed = rows })
end
