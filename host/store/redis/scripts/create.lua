-- A new command in its turn: {'new', turn, number, created}; a known one: {'old', id, its view...};
-- {'full', waiting} when the queue holds as many as it may; {'share', waiting, own} when the client
-- has its share of the places, of which `anybodys` are not shared; {'beyond'} where none may begin;
-- {'lost'} when a big value has left.
-- `fixed` is what never changes, as JSON; the rules need some of it, and so do hosts of format 1.
-- A big value was put before (put_part.lua), and is named '+' here.
local id, fixed, queue, module, name, client, long = unpack(ARGV, 3, 9)
local idempotency, max_length, max_wait, max_run, is_beyond, payload, files, anybodys =
    unpack(ARGV, 10, 17)

local function forget_big()
    if payload == '+' then call('DEL', key('payload', id)) end
    if files == '+' then call('DEL', key('files', id)) end
end

local function keep(kind, value)
    if value == '+' then
        call('PERSIST', key(kind, id))
    elseif value ~= '' then
        call('SET', key(kind, id), value)
    end
end

local function old(known)
    if known ~= id then forget_big() end
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
if is_beyond == '1' then return {'beyond'} end
local waiting = call('ZCARD', key('queue', queue))
if max_length ~= '' and waiting >= tonumber(max_length) then
    forget_big()
    return {'full', waiting}
end
if (payload == '+' and call('EXISTS', key('payload', id)) == 0)
    or (files == '+' and call('EXISTS', key('files', id)) == 0) then
    return {'lost'}
end

-- start-time fair queueing: one past the client's last turn, or the one that is being served
local serving = tonumber(call('HGET', key('stats', queue), 'serving') or 0)
local last = call('ZSCORE', key('turns', queue), client)

-- a client's share of the places, as in host/store/shares.py; its turns are at least as many as wait
local function is_within_share(own)
    return own + 1 <= math.max(tonumber(anybodys), tonumber(max_length) - waiting - 1)
end

if last and max_length ~= '' and not is_within_share(tonumber(last) - serving + 1) then
    local own = 0
    for _, place in ipairs(call('ZRANGE', key('queue', queue), 0, -1)) do
        if call('HGET', key('c', id_of(place)), 'client') == client then own = own + 1 end
    end
    if not is_within_share(own) then
        forget_big()
        return {'share', waiting, own}
    end
end

local turn = last and math.max(serving, tonumber(last) + 1) or serving
local number = call('HINCRBY', key('stats', queue), 'number', 1)
local time = now()
fixed = string.format('%s,"turn":%s,"number":%s,"created_at":%s}', string.sub(fixed, 1, -2),
    tostring(turn), tostring(number), stamp(time))
call('ZADD', key('turns', queue), turn, client)
call('HSET', key('c', id), 'format', FORMAT, 'fixed', fixed, 'version', 0, 'state', 'queued',
    'long', long, 'attempts', 0, 'queued', stamp(time), 'chars', 0,
    'queue', queue, 'turn', turn, 'number', number, 'key', idempotency,
    'max_wait', max_wait, 'max_run', max_run)
call('HSET', key('c', id), 'module', module, 'name', name, 'client', client,
    'created', stamp(time)) -- for hosts of format 1 alone
keep('payload', payload)
keep('files', files)
if idempotency ~= '' then call('SET', key('key', idempotency), id) end
wait_in_queue(id, queue, turn, number, long, max_wait ~= '' and steady() + tonumber(max_wait))
return {'new', tostring(turn), number, stamp(time)}
