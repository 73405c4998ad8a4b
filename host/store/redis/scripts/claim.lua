#!lua flags=allow-oom
-- The command whose turn it is, made running under `attempt`: {id, how many more wait, what was
-- asked, its files, its view...}; false for none. A value above `part_bytes` is its length.
local queue, worker, attempt, is_long_allowed, first_lease_s, part_bytes = unpack(ARGV, 3, 8)

local source = is_long_allowed == '1' and key('queue', queue) or key('short', queue)

local function value_of(kind, id)
    local length = call('STRLEN', key(kind, id))
    return length > tonumber(part_bytes) and length or call('GET', key(kind, id))
end

local function claimed(id)
    local found = view(id, '', '0,0')
    table.insert(found, 1, id)
    table.insert(found, 2, call('ZCARD', source))
    table.insert(found, 3, value_of('payload', id))
    table.insert(found, 4, value_of('files', id))
    return found
end

if is_retry then -- the first try may have claimed one
    for _, id in ipairs(call('SMEMBERS', key('held', worker))) do
        if call('HGET', key('c', id), 'attempt') == attempt then return claimed(id) end
    end
end

-- takes a place out of the queue; what is not there any more was evicted by a full server
local function take()
    while true do
        local place = call('ZRANGE', source, 0, 0)[1]
        if not place then return nil end
        local head = call('ZRANGE', key('queue', queue), 0, 0, 'WITHSCORES')
        call('ZREM', key('queue', queue), place)
        call('ZREM', key('short', queue), place)
        if call('EXISTS', key('c', id_of(place))) == 1 then
            return id_of(place), tonumber(head[2])
        end
    end
end

local id, head = take()
if not id then return false end
local c, stats, time = key('c', id), key('stats', queue), now()
local serving = math.max(tonumber(call('HGET', stats, 'serving') or 0), head)
call('HSET', stats, 'serving', serving)
if call('ZCARD', key('queue', queue)) == 0 then
    call('DEL', key('turns', queue))
else -- turns that make no difference to their clients any more
    call('ZREMRANGEBYSCORE', key('turns', queue), '-inf', serving - 1)
end

call('HSET', c, 'state', 'running', 'attempt', attempt, 'worker', worker, 'started', stamp(time))
call('HINCRBY', c, 'attempts', 1)
call('SADD', key('held', worker), id)
call('SADD', key('running', queue), id)
local max_run = call('HGET', c, 'max_run')
if max_run ~= '' then
    call('ZADD', prefix .. 'due', steady() + tonumber(max_run), id)
else
    call('ZREM', prefix .. 'due', id)
end
local lease = call('ZSCORE', prefix .. 'leases', worker)
if not lease or tonumber(lease) < steady() then
    call('ZADD', prefix .. 'leases', steady() + tonumber(first_lease_s), worker)
end
changed(id)
return claimed(id)
