-- expire()
--
-- Gives back a reservation whose time has passed. Safe to call twice and from many processes.
-- Answers DONE, MISSING, MISPLACED, STATE (settled before), NOT_DUE.

verbs.expire = function()
  local held = read_reservation()
  if not held then
    return { 'MISSING' }
  elseif held.state ~= 'HELD' then
    set_expiry(held.id, false)
    return { 'STATE', held.state, held.commit_key }
  elseif meta.now < tonumber(held.expires) then
    return { 'NOT_DUE' }
  end
  local problem = read_held(held)
  if problem then
    return problem
  end
  give_back(held, 'EXPIRED')
  return record({ reservation = write_reservation(held), deltas = deltas() })
end
