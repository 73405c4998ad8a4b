-- A new command in its turn: {'new', turn, number, created}; a known one: {'old', id, its view...};
-- {'full', waiting} when the queue holds as many as it may.
local id, queue, module, name, client, long = unpack(ARGV, 3, 8)
local idempotency, max_length, max_wait, max_run, payload, files = unpack(ARGV, 9, 14)

local function old(known)
    local found = view(known, '', '0,0')
    table.insert(found, 1, 'old')
    table.insert(found, 2, known)
    return found
end

if is_retry and call('EXISTS', key('c', id)) == 1 then return old(id) end
if idempotency ~= '' then
    local known = call('GET', key('key', idempotency))
    if known and call('EXISTS', key('c', known)) == 1 then return old(known) end
end
local waiting = call('ZCARD', key('queue', queue))
if max_length ~= '' and waiting >= tonumber(max_length) then return {'full', waiting} end

-- start-time fair queueing: one past the client's last turn, or the one that is being served
local serving = tonumber(call('HGET', key('stats', queue), 'serving') or 0)
local last = call('ZSCORE', key('turns', queue), client)
local turn = last and math.max(serving, tonumber(last) + 1) or serving
local number = call('HINCRBY', key('stats', queue), 'number', 1)
local time = now()
call('ZADD', key('turns', queue), turn, client)
call('HSET', key('c', id), 'version', 0, 'state', 'queued', 'long', long, 'attempts', 0,
    'queue', queue, 'module', module, 'name', name, 'client', client, 'turn', turn,
    'number', number, 'key', idempotency, 'max_wait', max_wait, 'max_run', max_run,
    'created', stamp(time), 'queued', stamp(time), 'chars', 0)
call('SET', key('payload', id), payload)
if files ~= '' then call('SET', key('files', id), files) end
if idempotency ~= '' then call('SET', key('key', idempotency), id) end
wait_in_queue(id, queue, turn, number, long, max_wait ~= '' and time + tonumber(max_wait))
return {'new', tostring(turn), number, stamp(time)}
