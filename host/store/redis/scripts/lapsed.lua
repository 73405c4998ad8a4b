#!lua flags=allow-oom
-- {the time, the workers that hold commands and whose lease has run out...}. Every host asks every
-- second. Where nobody has for `away_s`, nobody could renew a lease either: all have theirs anew.
-- A host says what time it expects, by its own steady clock; where it, and who asked last, are more
-- than `jump_s` away from what the time is, the clock was set: leases and limits count on as before.
-- A host that has not asked for `stalled_s`, and is still connected, stands still: those who speak to
-- it could renew nothing, and have `patience_s` more.
local away_s, first_lease_s, jump_s = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local expected, host = tonumber(ARGV[6]), ARGV[7]
local stalled_s, patience_s, again_s = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local leases, time, found = prefix .. 'leases', steady(), {}
local swept = tonumber(call('GET', prefix .. 'swept') or nil)

local function is_far(other)
    return other and math.abs(time - other) > jump_s
end

if is_far(swept) and is_far(expected) then
    call('INCRBYFLOAT', prefix .. 'skew', stamp(time - expected))
    time = steady()
end
if not swept or math.abs(time - swept) > away_s then
    for _, worker in ipairs(call('ZRANGE', leases, 0, -1)) do
        call('ZADD', leases, 'GT', time + first_lease_s, worker)
    end
end
call('SET', prefix .. 'swept', stamp(time))
call('ZADD', prefix .. 'sweepers', time, host)
call('ZREMRANGEBYSCORE', prefix .. 'sweepers', '-inf', time - 10 * patience_s)

-- One that is gone, or connects again after it stood still, is given a moment for that.
local function is_waited_for(worker)
    local its_host = call('HGET', prefix .. 'renewers', worker)
    local asked = its_host and call('ZSCORE', prefix .. 'sweepers', its_host)
    if not asked or time - tonumber(asked) <= stalled_s then return false end
    if time - tonumber(asked) < patience_s and call('PUBLISH', key('sweeper', its_host), '') > 0 then
        return true
    end
    call('HDEL', prefix .. 'renewers', worker)
    call('ZADD', leases, time + again_s, worker)
    return true
end

for _, worker in ipairs(call('ZRANGEBYSCORE', leases, '-inf', time)) do
    if call('SCARD', key('held', worker)) == 0 then
        call('ZREM', leases, worker)
        call('HDEL', prefix .. 'renewers', worker)
    elseif not is_waited_for(worker) then
        found[#found + 1] = worker
    end
end
return {stamp(time), unpack(found)}
