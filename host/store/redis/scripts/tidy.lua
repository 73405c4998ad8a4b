#!lua flags=allow-oom
-- Forgets the oldest ended commands while this server's memory is beyond its bound: `max_bytes`, or
-- nine tenths of its maxmemory, whichever is less; '' and 0 are none. {bytes used, the bound}, and
-- 1 where there is more to forget.
local max_bytes, keep_s = tonumber(ARGV[3]) or math.huge, tonumber(ARGV[4])
local ended, at_once = prefix .. 'ended', 100

local function memory()
    local info = call('INFO', 'memory')
    local maxmemory = tonumber(string.match(info, 'maxmemory:(%d+)'))
    local bound = maxmemory > 0 and math.min(max_bytes, 0.9 * maxmemory) or max_bytes
    return tonumber(string.match(info, 'used_memory:(%d+)')), bound
end

call('ZREMRANGEBYSCORE', ended, '-inf', now() - keep_s) -- they have left by themselves
local used, bound = memory()
local forgotten = 0
while used > bound and forgotten < at_once do
    local oldest = call('ZRANGE', ended, 0, 0)[1]
    if not oldest then break end
    forget(oldest)
    forgotten = forgotten + 1
    used, bound = memory()
end
return {used, bound == math.huge and 0 or math.floor(bound), forgotten >= at_once and 1 or 0}
