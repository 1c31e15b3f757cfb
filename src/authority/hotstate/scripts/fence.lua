-- fence(meta)
--
-- Stops every script from deciding for the tenant until it is opened again.
-- Answers OPEN if the tenant serves in this epoch already, else DONE.

if redis.call('HGET', KEYS[1], 'epoch') == EPOCH then
  return { 'OPEN' }
end
redis.call('HSET', KEYS[1], 'epoch', '')
return { 'DONE' }
