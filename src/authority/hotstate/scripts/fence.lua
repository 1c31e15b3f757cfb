-- fence(meta; opened)
--
-- Stops every script from deciding for the tenant until it is opened again. `opened` is '1' if the
-- ledger says that the tenant was opened in this epoch before.
-- Answers OPEN if the tenant serves in this epoch already; LOST if it was opened in it and is gone
-- without a trace, such as by FLUSHALL; else DONE.

local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch == EPOCH then
  return { 'OPEN' }
end
if not epoch and ARGV[1] == '1' then
  return { 'LOST' }
end
redis.call('HSET', KEYS[1], 'epoch', '')
return { 'DONE' }
