#!lua flags=allow-oom
-- Ends a waiting command, or notes the wish on a running one: 'unknown', 'cancelled', 'requested'
-- or 'already finished'.
local id, wish, result, keep_s = unpack(ARGV, 3, 6)
local c = key('c', id)

local found = call('HMGET', c, 'state', 'wish')
if not found[1] then return 'unknown' end
if found[1] == 'cancelled' then return 'cancelled' end
if found[1] == 'queued' then
    end_command(id, 'cancelled', result, '', keep_s)
    return 'cancelled'
end
if found[1] ~= 'running' then return 'already finished' end
if not found[2] then
    call('HSET', c, 'wish', wish)
    changed(id)
end
return 'requested'
