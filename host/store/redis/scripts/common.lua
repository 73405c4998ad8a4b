-- What every script begins with. Keys are made here from a prefix, so a Redis Cluster is not served.
-- ARGV[1]: the prefix. ARGV[2]: '1' when an earlier try may have been carried out, its answer lost.
local prefix, is_retry = ARGV[1], ARGV[2] == '1'
local call = redis.call

-- Of the records that this version writes. What a later version writes need not be understood here:
-- it says in the key `format` which of them a host must know that works beside it.
local FORMAT = 2
local least = call('GET', prefix .. 'format')
if least and tonumber(least) > FORMAT then
    return redis.error_reply('FORMAT ' .. least .. ' is asked for, and this host knows ' .. FORMAT)
end

local function key(kind, name)
    return prefix .. kind .. ':' .. name
end

-- seconds since the epoch by this server's clock: the one clock of all hosts
local function now()
    local time = call('TIME')
    return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- the clock that leases and limits are counted on: the same, less what it has jumped (lapsed.lua)
local function steady()
    return now() - tonumber(call('GET', prefix .. 'skew') or 0)
end

local function stamp(seconds)
    return string.format('%.6f', seconds)
end

-- a place among equal turns: the order of acceptance, then the id
local function member(number, id)
    return string.format('%016d:%s', tonumber(number), id)
end

local function id_of(place)
    return string.sub(place, 18)
end

local function fields_json(id)
    local parts, flat = {}, call('HGETALL', key('fields', id))
    for i = 1, #flat, 2 do
        parts[#parts + 1] = flat[i] .. ':' .. flat[i + 1]
    end
    return '{' .. table.concat(parts, ',') .. '}'
end

-- what changes in a command: records.py names it in the same order
local changing = {'version', 'state', 'long', 'attempt', 'attempts', 'worker', 'wish', 'started',
    'finished', 'result', 'queued', 'failed', 'logged'}
-- what never does is one JSON value, `fixed`, that no script reads; in a record of format 1 it is
-- apart, and records.py names it in the same order
local apart = {'queue', 'module', 'name', 'client', 'turn', 'number', 'key', 'max_wait', 'max_run',
    'created'}

-- The command as records.py reads it: false when there is none; one element when the host knows
-- this version; without the part that never changes when the host knows any version; of the reply
-- and of the log only what is past `known`: '<bytes>,<entries>'. What was asked is no part of it.
local function view(id, known_version, known)
    local known_bytes, known_entries = string.match(known, '(%d+),(%d+)')
    local found = call('HMGET', key('c', id), unpack(changing))
    if not found[1] then return false end
    if found[1] == known_version then return {found[1]} end
    found[#changing + 1] = fields_json(id)
    found[#changing + 2] = call('GETRANGE', key('text', id), known_bytes, -1)
    found[#changing + 3] = found[#changing] and call('LRANGE', key('log', id), known_entries, -1) or {}
    if known_version ~= '' then return found end
    local rest = call('HMGET', key('c', id), 'format', 'fixed')
    found[#changing + 4] = rest[1] or '1'
    found[#changing + 5] = rest[2] or call('HMGET', key('c', id), unpack(apart))
    return found
end

-- The log has the order of the channels, and the texts of all but the reply, which is in a key of
-- its own: ':<code points>' for that, '<channel>\n<text>' for others. It begins with the first of
-- those; a command that has a reply alone has none.
local function log(id, entry, chars_before)
    local c = key('c', id)
    if not call('HGET', c, 'logged') and tonumber(chars_before) > 0 then
        call('RPUSH', key('log', id), ':' .. chars_before)
    end
    call('HSET', c, 'logged', call('RPUSH', key('log', id), entry))
end

local function changed(id)
    local version = call('HINCRBY', key('c', id), 'version', 1)
    call('PUBLISH', key('c', id), version)
end

local function wait_in_queue(id, queue, turn, number, is_long, due)
    call('ZADD', key('queue', queue), turn, member(number, id))
    if is_long == '0' then call('ZADD', key('short', queue), turn, member(number, id)) end
    if due then call('ZADD', prefix .. 'due', due, id) else call('ZREM', prefix .. 'due', id) end
    call('PUBLISH', key('queue', queue), id)
end

local function leave_queue(id, queue, number)
    call('ZREM', key('queue', queue), member(number, id))
    call('ZREM', key('short', queue), member(number, id))
end

local function release(id, queue, worker)
    if worker then call('SREM', key('held', worker), id) end
    call('SREM', key('running', queue), id)
    call('HDEL', key('c', id), 'attempt', 'worker')
end

-- Counts an end; `run_s` is nil for what never ran. The mean is weighted as in host.store.tally.
local function note_end(queue, state, run_s, time)
    local stats = key('stats', queue)
    call('HINCRBY', stats, state, 1)
    if not run_s then return end
    local runs = call('HINCRBY', stats, 'runs', 1)
    local mean = tonumber(call('HGET', stats, 'mean_run_s') or run_s)
    local weight = math.max(0.1, 1 / runs)
    call('HSET', stats, 'mean_run_s', stamp(mean + weight * (run_s - mean)))
    call('RPUSH', key('ends', queue), stamp(time))
    call('LTRIM', key('ends', queue), -32, -1)
end

-- Ends a command; `ended_by` lets a retry know its own work. From now on the record has its time.
local function end_command(id, state, result, ended_by, keep_s)
    local c, time = key('c', id), now()
    local had = call('HMGET', c, 'queue', 'worker', 'number', 'started', 'key')
    local run_s = had[4] and math.max(0, time - tonumber(had[4]))
    leave_queue(id, had[1], had[3])
    release(id, had[1], had[2])
    call('ZREM', prefix .. 'due', id)
    call('DEL', key('files', id))
    call('HSET', c, 'state', state, 'result', result, 'finished', stamp(time), 'ended_by', ended_by)
    note_end(had[1], state, run_s, time)
    for _, kind in ipairs({'c', 'payload', 'text', 'fields', 'log'}) do
        call('EXPIRE', key(kind, id), keep_s)
    end
    call('ZADD', prefix .. 'ended', time, id)
    if had[5] ~= '' then call('EXPIRE', key('key', had[5]), keep_s) end
    changed(id)
end

-- Nothing of an ended command is left.
local function forget(id)
    local idempotency = call('HGET', key('c', id), 'key')
    for _, kind in ipairs({'c', 'payload', 'text', 'fields', 'files', 'log'}) do
        call('DEL', key(kind, id))
    end
    if idempotency and idempotency ~= '' and call('GET', key('key', idempotency)) == id then
        call('DEL', key('key', idempotency))
    end
    call('ZREM', prefix .. 'ended', id)
    call('PUBLISH', key('c', id), '')
end
