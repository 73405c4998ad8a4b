#!lua flags=allow-oom
-- Ends a command under its attempt, or with none one that waits. The view, or what was wrong:
-- 'unknown', 'stale', or {'wish', why}: it was told to stop, and ends as that says (`for_wish`).
local id, attempt, state, result, reply, reply_chars = unpack(ARGV, 3, 8)
local for_wish, keep_s, token, known_version, known = unpack(ARGV, 9, 13)
local c = key('c', id)

local found = call('HMGET', c, 'state', 'attempt', 'wish', 'ended_by')
if not found[1] then return 'unknown' end
if is_retry and found[4] == token then return view(id, known_version, known) end
if attempt == '' then
    if found[1] ~= 'queued' then return 'stale' end
elseif found[1] ~= 'running' or found[2] ~= attempt then
    return 'stale'
end
local wish = found[3] or ''
if state == 'cancelled' and wish ~= '' and wish ~= 'cancelled' and for_wish ~= wish then
    return {'wish', wish}
end
if reply_chars ~= '' then
    local text = call('GET', key('text', id)) or ''
    if string.sub(reply, 1, #text) == text then
        call('APPEND', key('text', id), string.sub(reply, #text + 1))
        local had = call('HGET', c, 'chars')
        if call('HGET', c, 'logged') and had ~= reply_chars then
            log(id, ':' .. (tonumber(reply_chars) - tonumber(had)), had)
        end
        call('HSET', c, 'chars', reply_chars)
    end
end
end_command(id, state, result, token, keep_s)
return view(id, known_version, known)
