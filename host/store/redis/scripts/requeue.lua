-- Puts a running command without text back to its place. The view, 'unknown', 'stale' or 'illegal'.
local id, attempt, known_version, known_bytes = unpack(ARGV, 3, 6)
local c = key('c', id)

local found = call('HMGET', c, 'state', 'attempt', 'chars', 'queue', 'worker', 'turn', 'number',
    'long', 'max_wait', 'created', 'requeued_by')
if not found[1] then return 'unknown' end
if is_retry and found[11] == attempt then return view(id, known_version, known_bytes) end
if found[1] ~= 'running' or found[2] ~= attempt then return 'stale' end
if found[3] ~= '0' then return 'illegal' end
release(id, found[4], found[5])
call('HSET', c, 'state', 'queued', 'requeued_by', attempt)
call('HDEL', c, 'started')
call('DEL', key('fields', id))
local due = found[9] ~= '' and tonumber(found[10]) + tonumber(found[9])
wait_in_queue(id, found[4], found[6], found[7], found[8], due)
changed(id)
return view(id, known_version, known_bytes)
