-- What workers hold: {id, queue, seconds since its claim, id...}.
local found, time = {}, now()
for i = 3, #ARGV do
    for _, id in ipairs(call('SMEMBERS', key('held', ARGV[i]))) do
        local of = call('HMGET', key('c', id), 'queue', 'started')
        if of[2] then
            found[#found + 1] = id
            found[#found + 1] = of[1]
            found[#found + 1] = stamp(math.max(0, time - tonumber(of[2])))
        end
    end
end
return found
