-- What a worker holds: {id, view, id, view...}. The host names what it knows: id, version, bytes.
local known, found = {}, {}
for i = 4, #ARGV, 3 do known[ARGV[i]] = {ARGV[i + 1], ARGV[i + 2]} end
for _, id in ipairs(call('SMEMBERS', key('held', ARGV[3]))) do
    local has = known[id] or {'', '0,0'}
    found[#found + 1] = id
    found[#found + 1] = view(id, has[1], has[2])
end
return found
