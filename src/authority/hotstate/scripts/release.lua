-- release()
--
-- Gives an uncommitted reservation back; one that is released or expired stays as it is.
-- Answers DONE, REPLAYED, REUSED, LOOK_UP, MISSING, MISPLACED, STATE.

verbs.release = function()
  local held = read_reservation()
  if not held then
    return { 'MISSING' }
  elseif held.state == 'COMMITTED' then
    return { 'STATE', held.state, held.commit_key }
  elseif held.state ~= 'HELD' then
    return record({ reservation = packed_reservation(held) })
  end
  local problem = read_held(held)
  if problem then
    return problem
  end
  give_back(held, 'RELEASED')
  return record({ reservation = write_reservation(held), deltas = deltas() })
end
