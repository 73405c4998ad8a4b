#!lua flags=allow-oom
-- {the time, the workers that hold commands and whose lease has run out...}. Every host asks every
-- second. Where nobody has for `away_s`, nobody could renew a lease either: all have theirs anew.
-- A host says what time it expects, by its own steady clock; where it, and who asked last, are more
-- than `jump_s` away from what the time is, the clock was set: leases and limits count on as before.
local away_s, first_lease_s, jump_s = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local expected = tonumber(ARGV[6])
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
for _, worker in ipairs(call('ZRANGEBYSCORE', leases, '-inf', time)) do
    if call('SCARD', key('held', worker)) > 0 then
        found[#found + 1] = worker
    else
        call('ZREM', leases, worker)
    end
end
return {stamp(time), unpack(found)}
