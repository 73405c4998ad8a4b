#!lua flags=allow-oom
-- Puts a running command without text back to its place; an attempt that failed is kept with its
-- error (JSON), one without never began. The view, 'unknown', 'stale' or 'illegal'.
local id, attempt, error_json, cancelled, keep_s, known_version, known = unpack(ARGV, 3, 9)
local c = key('c', id)

local found = call('HMGET', c, 'state', 'attempt', 'chars', 'queue', 'worker', 'turn', 'number',
    'long', 'max_wait', 'started', 'requeued_by', 'wish', 'failed', 'logged')
if not found[1] then return 'unknown' end
if is_retry and found[11] == attempt then return view(id, known_version, known) end
if found[1] ~= 'running' or found[2] ~= attempt then return 'stale' end
if found[3] ~= '0' or found[14] then return 'illegal' end
local time = now()
call('HSET', c, 'requeued_by', attempt)
if found[12] == 'cancelled' then -- nobody wants it any more
    end_command(id, 'cancelled', cancelled, '', keep_s)
    return view(id, known_version, known)
end
release(id, found[4], found[5])
if error_json == '' then
    call('HINCRBY', c, 'attempts', -1)
else
    local failed = string.format('{"startedAt":%s,"endedAt":%s,"error":%s}', found[10],
        stamp(time), error_json)
    call('HSET', c, 'failed', found[13] and found[13] .. ',' .. failed or failed)
end
call('HSET', c, 'state', 'queued', 'queued', stamp(time))
call('HDEL', c, 'started', 'wish')
call('DEL', key('fields', id))
local due = found[9] ~= '' and steady() + tonumber(found[9])
wait_in_queue(id, found[4], found[6], found[7], found[8], due)
changed(id)
return view(id, known_version, known)
