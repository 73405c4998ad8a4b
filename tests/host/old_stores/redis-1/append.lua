-- Puts text at an offset of a channel in code points; returns its length, or what was wrong.
local id, attempt, offset, text, count = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local channel = ARGV[8]
local chars = channel == 'reply' and 'chars' or 'chars:' .. channel
local c, fields = key('c', id), key('fields', id)

-- the byte at which the code point after `skipped` others begins
local function byte_after(skipped)
    local at = 1
    for _ = 1, skipped do
        local lead = string.byte(text, at)
        at = at + (lead < 0x80 and 1 or lead < 0xE0 and 2 or lead < 0xF0 and 3 or 4)
    end
    return at
end

local found = call('HMGET', c, 'state', 'attempt', chars, 'chars', 'logged')
if not found[1] then return 'unknown' end
if found[1] ~= 'running' or found[2] ~= attempt then return 'stale' end
local length, is_changed = tonumber(found[3] or 0), false
local skipped = length - offset
if skipped >= 0 and skipped < count then
    local news = skipped == 0 and text or string.sub(text, byte_after(skipped))
    if channel ~= 'reply' then
        log(id, channel .. '\n' .. news, found[4])
    else
        call('APPEND', key('text', id), news)
        if found[5] then log(id, ':' .. (count - skipped), found[4]) end
    end
    length = offset + count
    call('HSET', c, chars, length)
    is_changed = true
end
for i = 9, #ARGV, 2 do
    if call('HGET', fields, ARGV[i]) ~= ARGV[i + 1] then
        call('HSET', fields, ARGV[i], ARGV[i + 1])
        is_changed = true
    end
end
if is_changed then changed(id) end
return length
