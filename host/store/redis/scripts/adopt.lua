#!lua flags=allow-oom
-- Marks a command as a long process; 0 when there is no such command.
local id = ARGV[3]
local found = call('HMGET', key('c', id), 'state', 'long', 'queue', 'number')
if not found[1] then return 0 end
if found[2] ~= '1' then
    call('HSET', key('c', id), 'long', '1')
    call('ZREM', key('short', found[3]), member(found[4], id))
    changed(id)
end
return 1
