#!lua flags=allow-oom
-- Puts text at offsets of channels, in code points, and fields: any number of them, in their order.
-- {for each the channel's length, or what was wrong}, {the worker's commands that are to stop}.
local worker, at = ARGV[3], 4
local answers, to_stop, has_gap = {}, {}, {}

-- the byte of a text at which the code point after `skipped` others begins
local function byte_after(text, skipped)
    local place = 1
    for _ = 1, skipped do
        local lead = string.byte(text, place)
        place = place + (lead < 0x80 and 1 or lead < 0xE0 and 2 or lead < 0xF0 and 3 or 4)
    end
    return place
end

local function add_text(id, channel, news, count, found)
    if channel ~= 'reply' then
        log(id, channel .. '\n' .. news, found[4])
    else
        call('APPEND', key('text', id), news)
        if found[5] then log(id, ':' .. count, found[4]) end
    end
end

local function add_fields(id, first, pairs)
    local is_changed = false
    for i = first, first + 2 * pairs - 1, 2 do
        if call('HGET', key('fields', id), ARGV[i]) ~= ARGV[i + 1] then
            call('HSET', key('fields', id), ARGV[i], ARGV[i + 1])
            is_changed = true
        end
    end
    return is_changed
end

local function append(id, attempt, offset, text, count, channel, pairs)
    local chars = channel == 'reply' and 'chars' or 'chars:' .. channel
    local found = call('HMGET', key('c', id), 'state', 'attempt', chars, 'chars', 'logged')
    if not found[1] then return 'unknown' end
    if found[1] ~= 'running' or found[2] ~= attempt then return 'stale' end
    local length, is_changed = tonumber(found[3] or 0), false
    local skipped = length - offset
    if skipped >= 0 and skipped < count and not has_gap[id] then
        local news = skipped == 0 and text or string.sub(text, byte_after(text, skipped))
        add_text(id, channel, news, count - skipped, found)
        length, is_changed = offset + count, true
        call('HSET', key('c', id), chars, length)
    end
    has_gap[id] = has_gap[id] or length < offset + count
    if add_fields(id, at + 7, pairs) or is_changed then changed(id) end
    return length
end

while at <= #ARGV do
    local pairs = tonumber(ARGV[at + 6])
    local offset, count = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 4])
    answers[#answers + 1] = append(ARGV[at], ARGV[at + 1], offset, ARGV[at + 3], count,
        ARGV[at + 5], pairs)
    at = at + 7 + 2 * pairs
end
for _, id in ipairs(call('SMEMBERS', key('held', worker))) do
    if call('HEXISTS', key('c', id), 'wish') == 1 then to_stop[#to_stop + 1] = id end
end
return {answers, to_stop}
